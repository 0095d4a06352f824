// JSON values and the JSON writer; the parser is in json_parser.cpp.
#include "json.hpp"

#include <cstdio>
#include <locale>
#include <optional>
#include <sstream>

#include "unicode.hpp"

namespace mfp {
namespace {

void write(const Json& value, std::string& out);

void write_text(const std::string& text, std::string& out) {
    out += '"';
    for (std::size_t i = 0; i < text.size();) {
        const CodePoint point = code_point(text, i);
        i += point.length;
        const auto escape = [&](unsigned unit) {
            char digits[8];
            std::snprintf(digits, sizeof digits, "\\u%04x", unit & 0xffff);
            out += digits;
        };
        if (point.code == '"' || point.code == '\\') {
            out += '\\';
            out += static_cast<char>(point.code);
        } else if (point.code >= 0x20 && point.code < 0x7f) {
            out += static_cast<char>(point.code);
        } else if (point.code >= 0x10000) {
            escape(0xd800 + ((point.code - 0x10000) >> 10));
            escape(0xdc00 + ((point.code - 0x10000) & 0x3ff));
        } else {
            escape(point.code);
        }
    }
    out += '"';
}

void write(const Json& value, std::string& out) {
    const char* before = "";
    switch (value.kind) {
        case Json::Kind::null:
            out += "null";
            break;
        case Json::Kind::boolean:
            out += value.boolean ? "true" : "false";
            break;
        case Json::Kind::integer:
        case Json::Kind::real:
            out += value.text;
            break;
        case Json::Kind::text:
            write_text(value.text, out);
            break;
        case Json::Kind::list:
            out += '[';
            for (const Json& item : value.items) {
                out += before;
                write(item, out);
                before = ", ";
            }
            out += ']';
            break;
        case Json::Kind::object:
            out += '{';
            for (const auto& [name, member] : value.members) {
                out += before;
                write_text(name, out);
                out += ": ";
                write(member, out);
                before = ", ";
            }
            out += '}';
    }
}

Json made(Json::Kind kind, std::string text = "") {
    Json value;
    value.kind = kind;
    value.text = std::move(text);
    return value;
}

}  // namespace

Json Json::of(std::string text) { return made(Kind::text, std::move(text)); }
Json Json::of(long long value) { return made(Kind::integer, std::to_string(value)); }
Json Json::of(double value) { return made(Kind::real, number_text(value)); }

Json Json::of(bool value) {
    Json result = made(Kind::boolean);
    result.boolean = value;
    return result;
}

Json Json::list(std::vector<Json> items) {
    Json result = made(Kind::list);
    result.items = std::move(items);
    return result;
}

Json Json::object(std::vector<std::pair<std::string, Json>> members) {
    Json result = made(Kind::object);
    result.members = std::move(members);
    return result;
}

const Json* Json::find(const std::string& name) const {
    for (auto member = members.rbegin(); member != members.rend(); ++member) {
        if (member->first == name) return &member->second;
    }
    return nullptr;
}

const std::string* Json::find_text(const std::string& name) const {
    const Json* found = find(name);
    return found && found->is(Kind::text) ? &found->text : nullptr;
}

std::string to_text(const Json& value) {
    std::string out;
    write(value, out);
    return out;
}

std::optional<double> read_number(const std::string& text) {
    std::istringstream stream(text);
    stream.imbue(std::locale::classic());
    double value = 0;
    if (!(stream >> value)) return std::nullopt;
    return value;
}

std::string number_text(double value) {
    for (int digits = 15;; ++digits) {
        std::ostringstream out;
        out.imbue(std::locale::classic());
        out.precision(digits);
        out << value;
        std::string result = out.str();
        if (digits < 17 && read_number(result) != value) continue;
        if (result.find_first_of(".en") == std::string::npos) result += ".0";
        return result;
    }
}

}  // namespace mfp
