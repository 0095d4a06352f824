// The .plan file: JSON metadata followed by a TensorRT plan. The same bytes, checks and messages as in
// engine/plans/plan_file.py, which describes the format.
#pragma once

#include <string>

#include "json.hpp"

namespace mfp {

struct PlanFile {
    Json metadata;
    std::string plan;  // as TensorRT serialised it
};

// Throws PlanError: no such file, no plan file, truncated, damaged, or made by a newer mfp-engine.
PlanFile read_plan(const std::string& path);

// Writes a plan file so that it appears complete or not at all; schema, plan_sha256 and plan_bytes are set here.
// Throws PlanError: it cannot be written there.
void write_plan(const std::string& path, Json metadata, const void* plan, std::size_t size);

// The command that builds a plan again, of the file that its metadata names, as far as that can be believed.
std::string rebuild_command(const Json& metadata);

// Writes a file so that it appears complete or not at all. Returns why it cannot be, empty where it was.
std::string replace_file(const std::string& path, const std::string& front, const void* data, std::size_t size);

}  // namespace mfp
