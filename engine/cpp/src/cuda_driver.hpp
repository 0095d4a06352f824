// The NVIDIA driver's API. Its library is opened when a GPU is first used, so that this library also loads on machines
// without a driver. Contexts are handled as in kernels/driver.py.
#pragma once

#include <cuda.h>

#include <memory>
#include <string>

namespace mfp {

// The driver's functions that are used, under their own names; versions as cuda.h says.
// clang-format off
#define MFP_DRIVER_FUNCTIONS(use) \
    use(cuInit) use(cuDriverGetVersion) use(cuGetErrorName) use(cuGetErrorString) use(cuDeviceGet) \
    use(cuDeviceGetCount) use(cuDeviceGetName) use(cuDeviceGetAttribute) use(cuDevicePrimaryCtxRetain) \
    use(cuDevicePrimaryCtxRelease) use(cuCtxGetCurrent) use(cuCtxGetDevice) use(cuCtxPushCurrent) \
    use(cuCtxPopCurrent) use(cuPointerGetAttribute) use(cuModuleLoadData) use(cuModuleGetFunction) \
    use(cuModuleUnload) use(cuLaunchKernel) use(cuMemAlloc) use(cuMemFree) use(cuMemHostAlloc) \
    use(cuMemFreeHost) use(cuMemcpyHtoDAsync) use(cuMemcpyDtoHAsync) use(cuMemcpyDtoDAsync) use(cuMemsetD8Async) \
    use(cuStreamCreate) use(cuStreamDestroy) use(cuStreamSynchronize) use(cuStreamBeginCapture) \
    use(cuStreamEndCapture) use(cuGraphInstantiateWithFlags) use(cuGraphLaunch) use(cuGraphDestroy) \
    use(cuGraphExecDestroy) use(cuLaunchHostFunc)
// clang-format on

struct Driver {
#define MFP_DRIVER_POINTER(name) decltype(&::name) name = nullptr;
    MFP_DRIVER_FUNCTIONS(MFP_DRIVER_POINTER)
#undef MFP_DRIVER_POINTER

    Driver();
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;

    int gpus() const { return gpus_; }
    const std::string& why_none() const { return why_none_; }  // why there are 0

    // Throws std::bad_alloc where memory is short, NetworkError at any other error.
    void check(CUresult result, const char* what) const;

private:
    int gpus_ = 0;
    std::string why_none_;
};

// A GPU as its driver describes it, as far as a plan depends on it.
struct Gpu {
    std::string name;
    std::string compute_capability;  // such as 9.0
    std::string cuda;                // newest version that the driver runs, such as 13.0
};
Gpu describe_gpu(const Driver& driver, int index);

// A context on a GPU: the one that is current in this thread, where it is one on that GPU, else the GPU's primary one.
class CudaContext {
public:
    CudaContext(std::shared_ptr<const Driver> driver, int gpu);
    ~CudaContext();
    CudaContext(const CudaContext&) = delete;
    CudaContext& operator=(const CudaContext&) = delete;

    const Driver& driver() const { return *driver_; }
    CUcontext handle() const { return handle_; }
    int gpu() const { return gpu_; }

    // Makes it current in this thread as long as it lives; then what was current is so again.
    class Current {
    public:
        explicit Current(const CudaContext& context);
        ~Current();
        Current(const Current&) = delete;
        Current& operator=(const Current&) = delete;

    private:
        const Driver& driver_;
        bool pushed_ = false;
    };

private:
    std::shared_ptr<const Driver> driver_;
    int gpu_;
    CUdevice device_ = 0;
    CUcontext handle_ = nullptr;
    bool retained_ = false;
};

}  // namespace mfp
