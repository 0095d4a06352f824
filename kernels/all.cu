// Every kernel in one translation unit, for nvcc and for C++; Python joins the same files (cubin.py).
#include "click.cu"
#include "crop.cu"
#include "modulate.cu"
#include "paste.cu"
