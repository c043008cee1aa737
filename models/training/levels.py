import math
import torch
def zero_terminal_cosine(steps):
    a = torch.cos(torch.arange(steps + 1, dtype=torch.float64) * (math.pi / 2 / steps)); a[-1] = 0
    return a
