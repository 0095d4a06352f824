// The kernels, compiled for the CPU, as a library for ctypes.
#include "host_cuda.h"

#include "all.cu"

#include <string>

using LaneKernel = void (*)(MfpLane, const MfpClickBlock*);

static LaneKernel lane_kernel(const std::string& name) {
#define KERNEL(kernel) \
    if (name == #kernel) return kernel
    KERNEL(mfp_begin);
    KERNEL(mfp_disks);
    KERNEL(mfp_crop);
    KERNEL(mfp_window);
    KERNEL(mfp_select_second);
    KERNEL(mfp_select_third);
    KERNEL(mfp_modulate);
    KERNEL(mfp_bootstrap);
    KERNEL(mfp_probability);
    KERNEL(mfp_paste);
#undef KERNEL
    return nullptr;
}

// `args` points to each argument, as in cuLaunchKernel. Returns 0, or 1 for a kernel that there is not.
extern "C" int mfp_launch(const char* kernel, int blocks, int items, int threads, int backward, void** args) {
    const dim3 grid = {(unsigned)blocks, (unsigned)items, 1};
    const auto order = backward ? host_cuda::Order::backward : host_cuda::Order::forward;
    if (const LaneKernel run = lane_kernel(kernel)) {
        const auto& lane = *(const MfpLane*)args[0];
        const auto block = *(const MfpClickBlock**)args[1];
        host_cuda::launch(grid, threads, order, [&] { run(lane, block); });
        return 0;
    }
    if (std::string(kernel) == "mfp_unpack") {
        const auto bits = *(const unsigned**)args[0];
        const auto mask = *(unsigned char**)args[1];
        const int height = *(const int*)args[2], width = *(const int*)args[3];
        host_cuda::launch(grid, threads, order, [&] { mfp_unpack(bits, mask, height, width); });
        return 0;
    }
    return 1;
}
