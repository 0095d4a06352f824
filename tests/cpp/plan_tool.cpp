// What C++ says of plans, for compare_plans.py: one JSON object a line on standard input, one a line on standard output.
#include <cstdio>
#include <iostream>

#include "mfp/build.hpp"
#include "onnx_file.hpp"
#include "plan_file.hpp"
#include "plan_refusal.hpp"

namespace {

using mfp::Json;

std::string text_of(const Json& request, const char* name) {
    const std::string* found = request.find_text(name);
    return found ? *found : "";
}

// {"name": …, "shape": [null, 3, 48, 64], "float32": true}
std::vector<mfp::OnnxTensor> tensors_of(const Json& list) {
    std::vector<mfp::OnnxTensor> tensors;
    for (const Json& item : list.items) {
        mfp::OnnxTensor tensor{text_of(item, "name"), {}, item.find("float32")->boolean};
        for (const Json& side : item.find("shape")->items) {
            tensor.shape.push_back(side.is(Json::Kind::null) ? -1 : std::stoll(side.text));
        }
        tensors.push_back(tensor);
    }
    return tensors;
}

std::string answer(const Json& request) {
    const std::string what = text_of(request, "do"), path = text_of(request, "path");
    if (what == "read") return mfp::to_text(mfp::read_plan(path).metadata);
    if (what == "load") return mfp::Network::load(path)->runtime();
    if (what == "write") {
        const std::string plan = text_of(request, "plan");
        mfp::write_plan(path, *request.find("metadata"), plan.data(), plan.size());
        return "";
    }
    if (what == "refusal") {
        const mfp::PlanPlace here{text_of(request, "flavour"), text_of(request, "version"),
                                  text_of(request, "capability"), request.find("trusted")->boolean, ""};
        return mfp::plan_refusal(path, *request.find("metadata"), here, text_of(request, "complaints"));
    }
    if (what == "contract") {
        mfp::OnnxFile file;
        file.inputs = tensors_of(*request.find("inputs"));
        file.outputs = tensors_of(*request.find("outputs"));
        mfp::check_contract(path, file);
        return "";
    }
    if (what == "build") return mfp::build_plan(path, text_of(request, "plan")).flavour;
    return "what is " + what + "?";
}

}  // namespace

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        Json said;
        try {
            said = Json::object({{"answer", Json::of(answer(mfp::parse_json_object(line)))}});
        } catch (const mfp::Error& error) {
            said = Json::object({{"error", Json::of(error.what())}});
        }
        std::puts(mfp::to_text(said).c_str());
        std::fflush(stdout);
    }
}
