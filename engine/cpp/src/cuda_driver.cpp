// The NVIDIA driver's library, loaded at run time, and its CUDA contexts.
#include "cuda_driver.hpp"

#include <dlfcn.h>

#include <new>

#include "mfp/errors.hpp"
#include "text.hpp"

namespace mfp {
namespace {

constexpr const char* library_name = "libcuda.so.1";

}  // namespace

Driver::Driver() {
    void* library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);  // never closed: its threads go on
    if (!library) {
        why_none_ = text("no NVIDIA driver (", library_name, " is not there)");
        return;
    }
// cuda.h renames functions by version, so the name that is looked up is what the macro makes of it
#define MFP_DRIVER_TEXT(name) #name
#define MFP_DRIVER_LOAD(name)                                                       \
    name = reinterpret_cast<decltype(name)>(dlsym(library, MFP_DRIVER_TEXT(name))); \
    if (!name && why_none_.empty()) why_none_ = "the NVIDIA driver is too old: it has no " MFP_DRIVER_TEXT(name);
    MFP_DRIVER_FUNCTIONS(MFP_DRIVER_LOAD)
#undef MFP_DRIVER_LOAD
#undef MFP_DRIVER_TEXT
    if (!why_none_.empty()) return;
    if (const CUresult status = this->cuInit(0)) {
        why_none_ = text("the NVIDIA driver does not start (cuInit gives error ", static_cast<int>(status), ")");
    } else if (this->cuDeviceGetCount(&gpus_) || gpus_ == 0) {
        gpus_ = 0;
        why_none_ = "the NVIDIA driver finds no GPU";
    }
}

void Driver::check(CUresult result, const char* what) const {
    if (result == CUDA_SUCCESS) return;
    if (result == CUDA_ERROR_OUT_OF_MEMORY) throw std::bad_alloc();
    const char *name = "an unknown error", *words = "";
    this->cuGetErrorName(result, &name);
    this->cuGetErrorString(result, &words);
    throw NetworkError(text("CUDA reports ", name, " (", words, ") where ", what));
}

Gpu describe_gpu(const Driver& driver, int index) {
    CUdevice device = 0;
    char name[256] = "";
    int major = 0, minor = 0, version = 0;
    driver.cuDeviceGet(&device, index);
    driver.cuDeviceGetName(name, sizeof name, device);
    driver.cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
    driver.cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
    driver.cuDriverGetVersion(&version);
    return {name, text(major, ".", minor), text(version / 1000, ".", version / 10 % 100)};
}

CudaContext::CudaContext(std::shared_ptr<const Driver> driver, int gpu) : driver_(std::move(driver)), gpu_(gpu) {
    const Driver& cuda = *driver_;
    cuda.check(cuda.cuDeviceGet(&device_, gpu), "a GPU is asked for");
    CUdevice theirs = -1;
    if (!cuda.cuCtxGetCurrent(&handle_) && handle_ && !cuda.cuCtxGetDevice(&theirs) && theirs == device_) return;
    cuda.check(cuda.cuDevicePrimaryCtxRetain(&handle_, device_), "the GPU's primary context is asked for");
    retained_ = true;
}

CudaContext::~CudaContext() {
    if (retained_) driver_->cuDevicePrimaryCtxRelease(device_);
}

CudaContext::Current::Current(const CudaContext& context) : driver_(context.driver()) {
    CUcontext current = nullptr;
    driver_.check(driver_.cuCtxGetCurrent(&current), "the current context is asked for");
    if (current == context.handle()) return;
    driver_.check(driver_.cuCtxPushCurrent(context.handle()), "the network's context is made current");
    pushed_ = true;
}

CudaContext::Current::~Current() {
    CUcontext popped = nullptr;
    if (pushed_) driver_.cuCtxPopCurrent(&popped);
}

}  // namespace mfp
