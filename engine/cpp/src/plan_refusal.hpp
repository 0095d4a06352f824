// Message on why a plan cannot be used, the same as in engine/plans/tensorrt_plan.py; needs no TensorRT.
#pragma once

#include <string>

#include "json.hpp"

namespace mfp {

struct PlanPlace {
    std::string flavour, version;    // of the TensorRT that is here: "tensorrt" or "tensorrt-rtx"
    std::string compute_capability;  // of the GPU that is here
    bool trusted = false;            // whether plans may run code on the host
    std::string why_not_here;        // why no plan of TensorRT for RTX runs on this GPU; empty where some do
};

// What differs from where the plan was built, else TensorRT's own complaints.
std::string plan_refusal(const std::string& path, const Json& metadata, const PlanPlace& here,
                         const std::string& complaints);

}  // namespace mfp
