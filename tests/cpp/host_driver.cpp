// The part of the NVIDIA driver that engine/cpp uses (cuda_driver.hpp), on the host: as libcuda.so.1 it lets the tests of
// a GPU run the library's calls of CUDA without one. Kernels are those of tests/host_cuda. Strict where CUDA is: a context
// must be current, memory must be alive, and what a recording does not allow makes it void.
#include <cuda.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "click_block.h"

extern "C" int mfp_launch(const char* kernel, int blocks, int items, int threads, int backward, void** args);

struct CUctx_st {
    int held = 0;
};
struct CUstream_st {
    bool records = false, is_void = false;
    std::vector<std::function<void()>> steps;
};
struct CUgraph_st {
    std::vector<std::function<void()>> steps;
};
struct CUgraphExec_st {
    std::vector<std::function<void()>> steps;
};
struct CUfunc_st {
    std::string name;
};

namespace {

constexpr int threads = 32;  // of a block: few, as every barrier costs; the kernels stride over any number

std::mutex mutex;
CUctx_st primary;
std::map<char*, std::size_t> alive;           // memory of either kind
thread_local std::vector<CUcontext> current;  // contexts of this thread, the current one last
thread_local CUstream recording = nullptr;    // stream that this thread records

CUresult demand_context() { return current.empty() || !primary.held ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS; }

// Of calls that a recording does not allow.
CUresult demand_no_recording() {
    if (!recording) return demand_context();
    recording->is_void = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

bool is_alive(const void* address, std::size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex);
    const auto* start = static_cast<const char*>(address);
    auto block = alive.upper_bound(const_cast<char*>(start));
    if (block == alive.begin()) return false;
    --block;
    return start + bytes <= block->first + block->second;
}

CUresult allocate(std::size_t bytes, void** memory) {
    if (const CUresult problem = demand_no_recording()) return problem;
    *memory = std::malloc(bytes);
    std::memset(*memory, 0xff, bytes);
    std::lock_guard<std::mutex> lock(mutex);
    alive[static_cast<char*>(*memory)] = bytes;
    return CUDA_SUCCESS;
}

CUresult release(void* memory) {
    if (const CUresult problem = demand_no_recording()) return problem;
    std::lock_guard<std::mutex> lock(mutex);
    if (!alive.erase(static_cast<char*>(memory))) return CUDA_ERROR_INVALID_VALUE;
    std::free(memory);
    return CUDA_SUCCESS;
}

CUresult put(CUstream stream, std::function<void()> step) {
    if (const CUresult problem = demand_context()) return problem;
    if (stream && stream->records) {
        stream->steps.push_back(std::move(step));
    } else {
        step();
    }
    return CUDA_SUCCESS;
}

// `theirs`: the side of the host, which a recording takes from pinned memory alone.
CUresult copy(void* target, const void* source, std::size_t bytes, CUstream stream, const void* theirs) {
    const bool pinned = !theirs || is_alive(theirs, bytes);
    if (!pinned && stream && stream->records) return demand_no_recording();
    for (const void* side : {static_cast<const void*>(target), source}) {
        if (side != theirs && !is_alive(side, bytes)) return CUDA_ERROR_INVALID_VALUE;
    }
    return put(stream, [=] { std::memcpy(target, source, bytes); });
}

void* pointer(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

}  // namespace

extern "C" {

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }

CUresult cuDriverGetVersion(int* version) {
    *version = 13000;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char** name) {
    *name = error == CUDA_ERROR_INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT" : "CUDA_ERROR";
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult, const char** words) {
    *words = "of the host";
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int index) {
    *device = index;
    return index == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetCount(int* count) {
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char* name, int size, CUdevice) {
    std::strncpy(name, "the host", static_cast<std::size_t>(size));
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
    *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR   ? 8
             : attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? 9
                                                                         : 1;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
    std::lock_guard<std::mutex> lock(mutex);
    ++primary.held;
    *context = &primary;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice) {
    std::lock_guard<std::mutex> lock(mutex);
    if (--primary.held == 0 && !alive.empty()) std::abort();  // somebody left memory
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
    *context = current.empty() ? nullptr : current.back();
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice* device) {
    *device = 0;
    return demand_context();
}

CUresult cuCtxPushCurrent(CUcontext context) {
    current.push_back(context);
    return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext* context) {
    if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    *context = current.back();
    current.pop_back();
    return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr address) {
    if (!is_alive(pointer(address), 1)) return CUDA_ERROR_INVALID_VALUE;
    if (attribute == CU_POINTER_ATTRIBUTE_CONTEXT) {
        *static_cast<CUcontext*>(data) = &primary;
    } else {
        *static_cast<int*>(data) = 0;  // GPU 0, not managed
    }
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    constexpr unsigned fatbin = 0xba55ed50;
    unsigned magic = 0;
    std::memcpy(&magic, image, sizeof magic);
    *module = reinterpret_cast<CUmodule>(1);
    return magic == fatbin ? demand_no_recording() : CUDA_ERROR_INVALID_IMAGE;
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule, const char* name) {
    static std::map<std::string, CUfunc_st> functions;
    std::lock_guard<std::mutex> lock(mutex);
    *function = &(functions[name] = {name});
    return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule) { return demand_context(); }

CUresult cuLaunchKernel(CUfunction function, unsigned blocks, unsigned items, unsigned, unsigned, unsigned, unsigned,
                        unsigned, CUstream stream, void** given, void**) {
    const std::string name = function->name;
    if (name == "mfp_unpack") {
        return put(stream,
                   [=, bits = *static_cast<unsigned**>(given[0]), mask = *static_cast<unsigned char**>(given[1]),
                    height = *static_cast<int*>(given[2]), width = *static_cast<int*>(given[3])]() mutable {
                       void* arguments[] = {&bits, &mask, &height, &width};
                       if (mfp_launch(name.c_str(), static_cast<int>(blocks), 1, threads, 0, arguments)) std::abort();
                   });
    }
    return put(stream, [=, lane = *static_cast<MfpLane*>(given[0]), block = *static_cast<void**>(given[1])]() mutable {
        void* arguments[] = {&lane, &block};
        if (mfp_launch(name.c_str(), static_cast<int>(blocks), static_cast<int>(items), threads, 0, arguments))
            std::abort();
    });
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
    return put(stream, [=] { function(data); });
}

CUresult cuMemAlloc(CUdeviceptr* address, std::size_t bytes) {
    void* memory = nullptr;
    const CUresult result = allocate(bytes, &memory);
    *address = reinterpret_cast<CUdeviceptr>(memory);
    return result;
}

CUresult cuMemFree(CUdeviceptr address) { return release(pointer(address)); }
CUresult cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) { return allocate(bytes, memory); }
CUresult cuMemFreeHost(void* memory) { return release(memory); }

CUresult cuMemcpyHtoDAsync(CUdeviceptr target, const void* source, std::size_t bytes, CUstream stream) {
    return copy(pointer(target), source, bytes, stream, source);
}

CUresult cuMemcpyDtoHAsync(void* target, CUdeviceptr source, std::size_t bytes, CUstream stream) {
    return copy(target, pointer(source), bytes, stream, target);
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr target, CUdeviceptr source, std::size_t bytes, CUstream stream) {
    return copy(pointer(target), pointer(source), bytes, stream, nullptr);
}

CUresult cuMemsetD8Async(CUdeviceptr target, unsigned char value, std::size_t bytes, CUstream stream) {
    if (!is_alive(pointer(target), bytes)) return CUDA_ERROR_INVALID_VALUE;
    return put(stream, [=] { std::memset(pointer(target), value, bytes); });
}

CUresult cuStreamCreate(CUstream* stream, unsigned) {
    *stream = new CUstream_st;
    return demand_no_recording();
}

CUresult cuStreamDestroy(CUstream stream) {
    delete stream;
    return demand_no_recording();
}

CUresult cuStreamSynchronize(CUstream) { return demand_no_recording(); }

CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
    if (!stream || recording || mode != CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    stream->records = true;
    recording = stream;
    return demand_context();
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
    if (recording != stream) return CUDA_ERROR_ILLEGAL_STATE;
    recording = nullptr;
    stream->records = false;
    const bool is_void = stream->is_void;
    stream->is_void = false;
    *graph = is_void ? nullptr : new CUgraph_st{std::move(stream->steps)};
    stream->steps.clear();
    return is_void ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* executable, CUgraph graph, unsigned long long) {
    *executable = new CUgraphExec_st{graph->steps};
    return demand_context();
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    return put(stream, [steps = executable->steps] {
        for (const auto& step : steps) step();
    });
}

CUresult cuGraphDestroy(CUgraph graph) {
    delete graph;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec executable) {
    delete executable;
    return demand_context();
}

}  // extern "C"
