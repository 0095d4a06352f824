// Messages on why a plan cannot be used; see engine/plans/tensorrt_plan.py.
#include "plan_refusal.hpp"

#include "plan_file.hpp"
#include "text.hpp"
#include "unicode.hpp"

namespace mfp {
namespace {

// A member as Python's str() shows it, as far as builders write it: a text, or that there is none.
std::string shown(const Json* value) {
    if (!value || value->is(Json::Kind::null)) return "None";
    return printable(value->text);
}

}  // namespace

std::string plan_refusal(const std::string& path, const Json& metadata, const PlanPlace& here,
                         const std::string& complaints) {
    if (!here.why_not_here.empty()) {
        return text(path, " cannot be opened: ", here.why_not_here,
                    " Take a plan of TensorRT there, or run the .onnx file on the host.");
    }
    const bool is_rtx = here.flavour == "tensorrt-rtx";
    const Json *gpu = metadata.find("gpu"), *options = metadata.find("options");
    const std::string built = shown(metadata.find("flavour_version"));
    std::string reasons;
    if (built != here.version) {
        reasons += text("it was built with ", here.flavour, " ", built, ", here is ", here.version, "; ");
    }
    const std::string capability = shown(gpu ? gpu->find("compute_capability") : nullptr);
    if (!is_rtx && capability != here.compute_capability) {
        reasons +=
            text("it was built on compute capability ", capability, ", this GPU has ", here.compute_capability, "; ");
    }
    if (is_rtx) {
        reasons += text("it was built for ", shown(metadata.find("built_for")), ", this GPU has ",
                        here.compute_capability, "; ");
    }
    const Json* compatible = options ? options->find("version_compatible") : nullptr;
    if (compatible && compatible->boolean && !here.trusted) {
        reasons +=
            "it is version-compatible and so carries code for the host, which runs only where MFP_TRUST_PLANS=1 is "
            "set; "
            "set it for plans that you built yourself; ";
    }
    return text(here.flavour, " does not take ", path, ": ", reasons, complaints,
                ". Build it here with: ", rebuild_command(metadata), " --flavour ", here.flavour);
}

}  // namespace mfp
