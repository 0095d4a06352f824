// Precision check of a built engine, from TensorRT's description of its layers; see engine/plans/plan_layers.py.
#include "plan_layers.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>
#include <tuple>

namespace mfp {
namespace {

using Text = std::string_view;

// Weights decide before inputs: a layer that only casts a node's input may also carry the node's name.
using Operand = std::tuple<bool, double, bool>;  // whether it is stored in the engine, its elements, whether it is half

// Of ASCII, whatever the locale.
char lower_case(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool is_letter(char c) { return (c >= '0' && c <= '9') || (lower_case(c) >= 'a' && lower_case(c) <= 'z') || c == '_'; }

// Whether one of the words stands in a text, in any case.
bool has_word(Text text, std::initializer_list<Text> words) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(), lower_case);
    for (const Text word : words) {
        for (auto at = lower.find(word); at != std::string::npos; at = lower.find(word, at + 1)) {
            const std::size_t end = at + word.size();
            if ((at == 0 || !is_letter(lower[at - 1])) && (end == lower.size() || !is_letter(lower[end]))) return true;
        }
    }
    return false;
}

// The largest floating-point operand of a part of a layer's line: { Name: …, Dimensions: [1,3,8,8], … Datatype: Half, …
std::optional<Operand> largest_operand(Text part, bool stored) {
    constexpr Text opening = "{ Name: ", dimensions = "Dimensions: [", ends = "Datatype: ", format = "Format: ";
    std::optional<Operand> best;
    for (auto at = part.find(opening); at != Text::npos; at = part.find(opening, at)) {
        double elements = 1;
        for (at = part.find(dimensions, at); at != Text::npos; at = part.find(dimensions, at)) {
            at += dimensions.size();
            const auto end = part.find_first_not_of("-0123456789,", at);
            if (end == Text::npos || part[end] != ']') continue;
            std::istringstream sides{std::string(part.substr(at, end - at))};
            for (std::string side; std::getline(sides, side, ',');) elements *= std::abs(std::atof(side.c_str()));
            at = end;
            break;
        }
        if (at == Text::npos) break;
        const auto type = std::min(part.find(ends, at), part.find(format, at));
        if (type == Text::npos) break;
        const auto start = part.find(": ", type) + 2, end = part.find_first_of(",}", start);
        const Text kind = part.substr(start, end == Text::npos ? end : end - start);
        const bool half = has_word(kind, {"half", "fp16", "float16", "bf16", "bfloat16"});
        if (half || has_word(kind, {"float", "fp32", "float32"})) best = std::max(best, {{stored, elements, half}});
        at = end;
        if (at == Text::npos) break;
    }
    return best;
}

// The layer's largest floating-point operand, of its weights where it has some.
std::optional<Operand> deciding_operand(Text line) {
    const Text inputs = line.substr(0, line.find("Outputs: ["));
    const auto constants = inputs.find("Constants: [");
    if (constants != Text::npos) {
        const auto weights = largest_operand(inputs.substr(constants), true);
        if (weights && std::get<1>(*weights) > 1) return weights;
    }
    const auto input = largest_operand(inputs.substr(0, constants), false);
    return input && std::get<1>(*input) > 1 ? input : std::nullopt;
}

}  // namespace

HalfShare half_share(const std::string& description, const std::set<std::string>& nodes, const char* source) {
    constexpr Text heading = "[ONNX Layer: ";
    std::map<std::string, Operand> deciding;  // by node: the operand of its layers that counts
    std::istringstream lines(description);
    for (std::string line; std::getline(lines, line);) {
        if (line.compare(0, 6, "Name: ") != 0) continue;
        std::set<std::string> mine;
        for (auto at = line.find(heading); at != std::string::npos; at = line.find(heading, at)) {
            at += heading.size();
            const std::string node = line.substr(at, line.find(']', at) - at);
            if (nodes.count(node)) mine.insert(node);
        }
        const auto operand = mine.empty() ? std::nullopt : deciding_operand(line);
        if (!operand) continue;
        for (const std::string& node : mine) {
            const auto [found, is_new] = deciding.emplace(node, *operand);
            if (!is_new) found->second = std::max(found->second, *operand);
        }
    }
    HalfShare share{0, static_cast<int>(deciding.size()), source};
    for (const auto& [node, operand] : deciding) share.half += std::get<2>(operand);
    return share;
}

}  // namespace mfp
