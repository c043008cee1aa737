"""What people call: demo, setup, test, train.py, serve.py, benchmark.py, mosaic.py. The rooms below hold what these
import.
"""
