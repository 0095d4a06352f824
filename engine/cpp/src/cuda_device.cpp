// CudaDevice: memory, copies, launches and CUDA graphs on a GPU, through the NVIDIA driver.
#include "cuda_device.hpp"

#include <algorithm>
#include <cstdint>

#include "mfp/errors.hpp"
#include "text.hpp"

// kernels/all.cu for every architecture that CMakeLists.txt lists, as nvcc made it.
asm(".section .rodata\n"
    ".balign 64\n"
    ".hidden mfp_kernels_fatbin\n"
    ".globl mfp_kernels_fatbin\n"
    "mfp_kernels_fatbin:\n"
    ".incbin \"" MFP_KERNELS_FATBIN
    "\"\n"
    ".previous\n");
extern "C" const unsigned char mfp_kernels_fatbin[];

namespace mfp {
namespace {

using Current = CudaContext::Current;

constexpr unsigned threads = 256;      // of a block
constexpr int blocks_a_processor = 8;  // at most: the kernels stride over what is left
constexpr const char* kernels[] = {"mfp_begin",       "mfp_crop",          "mfp_disks",        "mfp_bootstrap",
                                   "mfp_window",      "mfp_select_second", "mfp_select_third", "mfp_modulate",
                                   "mfp_probability", "mfp_paste",         "mfp_unpack"};

CUdeviceptr address(const void* memory) { return reinterpret_cast<CUdeviceptr>(memory); }
CUstream raw(Stream stream) { return static_cast<CUstream>(stream); }

class CudaGraph : public Graph {
public:
    CudaGraph(std::shared_ptr<const CudaContext> context, CUgraphExec executable)
        : context_(std::move(context)), executable_(executable) {}

    ~CudaGraph() override {
        try {
            const Current current(*context_);
            context_->driver().cuGraphExecDestroy(executable_);  // CUDA waits by itself for a launch that still runs
        } catch (...) {  // where an application has destroyed the context, the graph went with it
        }
    }

    void launch(Stream stream) override {
        const Current current(*context_);
        const Driver& cuda = context_->driver();
        cuda.check(cuda.cuGraphLaunch(executable_, raw(stream)), "a click's graph is launched");
    }

private:
    std::shared_ptr<const CudaContext> context_;
    CUgraphExec executable_;
};

}  // namespace

CudaDevice::CudaDevice(std::shared_ptr<const CudaContext> given) : context(std::move(given)), cuda_(context->driver()) {
    const Current current(*context);
    cuda_.check(
        cuda_.cuModuleLoadData(&module_, mfp_kernels_fatbin),
        "the kernels are loaded; say this GPU's architecture in MFP_CUDA_ARCHITECTURES when building the library");
    try {
        for (const char* kernel : kernels) {
            cuda_.check(cuda_.cuModuleGetFunction(&functions_[kernel], module_, kernel), "a kernel is looked up");
        }
        CUdevice device = 0;
        int processors = 0;
        cuda_.check(cuda_.cuDeviceGet(&device, context->gpu()), "the GPU is asked for");
        cuda_.check(cuda_.cuDeviceGetAttribute(&processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device),
                    "the GPU's processors are counted");
        most_blocks_ = static_cast<std::size_t>(blocks_a_processor) * processors;
    } catch (...) {
        cuda_.cuModuleUnload(module_);
        throw;
    }
}

CudaDevice::~CudaDevice() {
    release([&] { cuda_.cuModuleUnload(module_); });
}

// What is freed where an application has destroyed the context went with it.
template <class Call>
void CudaDevice::release(Call call) const noexcept {
    try {
        const Current current(*context);
        call();
    } catch (...) {
    }
}

void* CudaDevice::allocate(std::size_t bytes) {
    const Current current(*context);
    CUdeviceptr memory = 0;
    cuda_.check(cuda_.cuMemAlloc(&memory, std::max<std::size_t>(bytes, 1)), "memory of the GPU is asked for");
    return reinterpret_cast<void*>(memory);
}

void CudaDevice::free(void* memory) noexcept {
    release([&] { cuda_.cuMemFree(address(memory)); });
}

void* CudaDevice::allocate_pinned(std::size_t bytes) {
    const Current current(*context);
    void* memory = nullptr;
    cuda_.check(cuda_.cuMemHostAlloc(&memory, bytes, CU_MEMHOSTALLOC_PORTABLE), "page-locked memory is asked for");
    return memory;
}

void CudaDevice::free_pinned(void* memory) noexcept {
    release([&] { cuda_.cuMemFreeHost(memory); });
}

Stream CudaDevice::new_stream() {
    const Current current(*context);
    CUstream stream = nullptr;
    cuda_.check(cuda_.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "a stream is made");
    return stream;
}

void CudaDevice::free_stream(Stream stream) noexcept {
    release([&] { cuda_.cuStreamDestroy(raw(stream)); });
}

void CudaDevice::copy_in(void* target, const void* source, std::size_t bytes, Stream stream) {
    const Current current(*context);
    cuda_.check(cuda_.cuMemcpyHtoDAsync(address(target), source, bytes, raw(stream)), "data is copied to the GPU");
}

void CudaDevice::copy_out(void* target, const void* source, std::size_t bytes, Stream stream) {
    const Current current(*context);
    cuda_.check(cuda_.cuMemcpyDtoHAsync(target, address(source), bytes, raw(stream)), "data is copied from the GPU");
}

void CudaDevice::copy(void* target, const void* source, std::size_t bytes, Stream stream) {
    const Current current(*context);
    cuda_.check(cuda_.cuMemcpyDtoDAsync(address(target), address(source), bytes, raw(stream)),
                "data is copied on the GPU");
}

void CudaDevice::clear(void* target, std::size_t bytes, Stream stream) {
    const Current current(*context);
    cuda_.check(cuda_.cuMemsetD8Async(address(target), 0, bytes, raw(stream)), "memory of the GPU is cleared");
}

void CudaDevice::launch(const char* kernel, const MfpLane& lane, const MfpClickBlock* block, std::size_t work,
                        Stream stream, int items) {
    void* arguments[] = {const_cast<MfpLane*>(&lane), &block};
    launch(kernel, arguments, work, items, stream);
}

void CudaDevice::unpack(const unsigned* bits, unsigned char* mask, int height, int width, Stream stream) {
    void* arguments[] = {&bits, &mask, &height, &width};
    launch("mfp_unpack", arguments, everywhere, 1, stream);
}

void CudaDevice::launch(const char* kernel, void** arguments, std::size_t work, int items, Stream stream) {
    const Current current(*context);
    const std::size_t blocks = std::clamp<std::size_t>((work + threads - 1) / threads, 1, most_blocks_);
    cuda_.check(cuda_.cuLaunchKernel(functions_.at(kernel), static_cast<unsigned>(blocks), static_cast<unsigned>(items),
                                     1, threads, 1, 1, 0, raw(stream), arguments, nullptr),
                "a kernel is launched");
}

void CudaDevice::synchronize(Stream stream) {
    const Current current(*context);
    cuda_.check(cuda_.cuStreamSynchronize(raw(stream)), "a stream's work is waited for");
}

std::unique_ptr<Graph> CudaDevice::record(const std::function<void()>& steps, Stream stream) {
    const Current current(*context);
    CUgraph graph = nullptr;
    CUgraphExec executable = nullptr;
    // what other threads do meanwhile is their own affair
    cuda_.check(cuda_.cuStreamBeginCapture(raw(stream), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "a recording begins");
    try {
        steps();
    } catch (...) {
        cuda_.cuStreamEndCapture(raw(stream), &graph);  // void already, for the reason that is thrown
        if (graph) cuda_.cuGraphDestroy(graph);
        throw;
    }
    cuda_.check(cuda_.cuStreamEndCapture(raw(stream), &graph), "a recording ends");
    const CUresult made = cuda_.cuGraphInstantiateWithFlags(&executable, graph, 0);
    cuda_.cuGraphDestroy(graph);
    cuda_.check(made, "a recorded graph is made ready");
    return std::make_unique<CudaGraph>(context, executable);
}

std::string CudaDevice::why_out_of_reach(const void* memory) const {
    const Current current(*context);
    int gpu = 0;
    unsigned managed = 0;
    CUcontext theirs = nullptr;
    if (cuda_.cuPointerGetAttribute(&gpu, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address(memory))) {
        return "is no memory that the NVIDIA driver knows of";
    }
    if (!cuda_.cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, address(memory)) && managed) return "";
    if (gpu != context->gpu()) return text("lies on GPU ", gpu, ", the network on GPU ", context->gpu());
    // memory of CUDA's own pools, and memory that was mapped piece by piece, belongs to no context
    if (!cuda_.cuPointerGetAttribute(&theirs, CU_POINTER_ATTRIBUTE_CONTEXT, address(memory)) && theirs &&
        theirs != context->handle()) {
        return "belongs to another CUDA context than the one that the network was loaded in";
    }
    return "";
}

std::shared_ptr<CudaDevice> open_cuda_device(int gpu) {
    auto driver = std::make_shared<const Driver>();
    if (driver->gpus() == 0) {
        throw RuntimeMissingError(text("TensorRT finds no GPU to run on: ", driver->why_none(),
                                       ". Without a GPU, run the .onnx file on openvino or onnxruntime"));
    }
    if (gpu >= driver->gpus()) {
        throw RuntimeMissingError(
            text("asked for GPU ", gpu, ": there are ", driver->gpus(), " GPU(s), numbered from 0"));
    }
    return std::make_shared<CudaDevice>(std::make_shared<const CudaContext>(std::move(driver), gpu));
}

}  // namespace mfp
