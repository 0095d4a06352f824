// Precision check of a built engine, from TensorRT's description of its layers; see engine/plans/plan_layers.py. The
// precision is read from the engine, not from the graph.
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
