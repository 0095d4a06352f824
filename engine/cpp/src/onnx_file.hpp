// An ONNX file's signature and metadata, read without a runtime: the few protobuf fields that the contract needs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "mfp/session.hpp"

namespace mfp {

struct OnnxTensor {
    std::string name;
    std::vector<long long> shape;  // -1: open
    bool is_float32 = false;
};

struct OnnxFile {
    std::vector<OnnxTensor> inputs, outputs;  // in the graph's order; initializers are left out of the inputs
    std::map<std::string, std::string> metadata;
    bool has_external_weights = false;
    bool has_fp16_weights = false, has_bf16_weights = false;
    double weights = 0;  // how many numbers they are
};

// Throws NetworkError: no such file, or a folder.
void check_is_file(const std::string& path);

// Throws NetworkError: no such file, or none that is ONNX.
OnnxFile read_onnx(const std::string& path);

// Holds the file against the contract of engine/contract.py and says what it says of itself. `file`: for messages.
// Throws NetworkError.
NetworkInfo check_contract(const std::string& file, const OnnxFile& onnx);

}  // namespace mfp
