// A plan opened on a GPU; see engine/plans/tensorrt_plan.py.
#pragma once

#include <array>
#include <set>

#include "backend.hpp"
#include "cuda_device.hpp"
#include "tensorrt_log.hpp"

namespace mfp {

class OpenedPlan {
public:
    // Throws PlanError: made for another version or GPU; NetworkError: it does not keep the contract.
    OpenedPlan(const std::string& path, PlanFile& file, std::shared_ptr<CudaDevice> device);
    ~OpenedPlan();
    OpenedPlan(const OpenedPlan&) = delete;
    OpenedPlan& operator=(const OpenedPlan&) = delete;

    // An execution context, for one stream of one thread. With TensorRT for RTX it has no memory for its passes yet.
    std::unique_ptr<nvinfer1::IExecutionContext> new_context() const;

    // After the first pass of a shape: writes what TensorRT for RTX compiled for it, for the next start. A folder that
    // cannot be written is fine: then it is compiled again.
    void remember(const nvinfer1::Dims4& shape) const;

    // Holds a shape against what the plan takes. Throws OptionError.
    void check_shape(const nvinfer1::Dims4& shape) const;

    std::string complaints() const { return log_.complaints(); }

    const std::string path;
    const std::shared_ptr<CudaDevice> device;
    Json metadata;
    NetworkInfo info;

private:
    NetworkInfo checked_info() const;
    std::string refusal() const;
    void configure();

    // TensorRT's objects do not keep what they were made with alive: the destructor drops the last one first
    mutable TensorRtLog log_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
    std::unique_ptr<nvinfer1::ICudaEngine> engine_;
#ifdef TRT_MAJOR_RTX
    std::unique_ptr<nvinfer1::IRuntimeConfig> config_;
    std::unique_ptr<nvinfer1::IRuntimeCache> cache_;
    mutable std::mutex mutex_;
    mutable std::set<std::array<std::int64_t, 4>> remembered_;
#endif
    nvinfer1::Dims smallest_, largest_;
};

}  // namespace mfp
