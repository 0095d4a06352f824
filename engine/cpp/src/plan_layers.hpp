// What a built engine is made of, read from TensorRT's description of its layers; see engine/plans/plan_layers.py. Nothing is
// believed of a graph that the engine does not show.
#pragma once

#include <set>
#include <string>

namespace mfp {

// Convolutions and matrix products of an engine.
struct HalfShare {
    int half = 0, total = 0;
    std::string source;  // "inspector", "build log" or "parsed network"
};

// Counts by a description, a layer a line. `nodes`: names of the ONNX nodes that are such; those that the description
// does not name are left out.
HalfShare half_share(const std::string& description, const std::set<std::string>& nodes, const char* source);

}  // namespace mfp
