"""hsfusion:register: the HSI moved onto the MSI's place, and control points that say how."""
