"""CUDA sources of what several kernels do: sums and maxima over the threads of a block; must not know any kernel."""
from __future__ import annotations

# Sums in an order that only the number of threads decides: the same numbers in every run.
BLOCK = r"""
extern __shared__ char gradcore_memory[];

__device__ A block_sum(A value) {
    A* part = (A*)gradcore_memory;
    part[threadIdx.x] = value;
    __syncthreads();
    for (unsigned int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    value = part[0];
    __syncthreads();
    return value;
}

__device__ A block_max(A value) {
    A* part = (A*)gradcore_memory;
    part[threadIdx.x] = value;
    __syncthreads();
    for (unsigned int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            A other = part[threadIdx.x + half];
            if (other > part[threadIdx.x] || other != other) part[threadIdx.x] = other;
        }
        __syncthreads();
    }
    value = part[0];
    __syncthreads();
    return value;
}
"""

# Of a row of n elements: the largest, and the sum of exponentials that with it do not overflow.
ROW = r"""
__device__ A row_top(const T* x, const long long n) {
    A top = A(x[0]);
    for (long long i = threadIdx.x; i < n; i += blockDim.x) top = A(x[i]) > top ? A(x[i]) : top;
    return block_max(top);
}

__device__ A row_sum_exp(const T* x, const A top, const long long n) {
    A sum = 0;
    for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += exp(A(x[i]) - top);
    return block_sum(sum);
}
"""
