// Reader and writer of a plan file's JSON, with the limits and the messages of engine/plans/plan_file.py.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace mfp {

struct Json {
    enum class Kind { null, boolean, integer, real, text, list, object };

    Kind kind = Kind::null;
    bool boolean = false;
    std::string text;  // of a text, in UTF-8; of a number, as it was written: integers have any length
    std::vector<Json> items;
    std::vector<std::pair<std::string, Json>> members;  // in the file's order

    static Json of(std::string text);
    static Json of(const char* text) { return of(std::string(text)); }
    static Json of(bool value);
    static Json of(long long value);
    static Json of(double value);  // finite
    static Json list(std::vector<Json> items = {});
    static Json object(std::vector<std::pair<std::string, Json>> members = {});

    bool is(Kind other) const { return kind == other; }

    // A member's value, null where there is no such member or this is no object; of several with one name the last.
    const Json* find(const std::string& name) const;

    // A member that is a text, else null.
    const std::string* find_text(const std::string& name) const;
};

struct JsonError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// An object of finite numbers, nested 32 deep at most. Throws JsonError: what it is instead.
Json parse_json_object(const std::string& bytes);

// On one line, in ASCII, as Python writes it.
std::string to_text(const Json& value);

// The number that a text is, whatever the locale; none where it is infinite.
std::optional<double> read_number(const std::string& text);

// A number as Python prints it: the shortest text that is read back as the same, 100 as 100.0.
std::string number_text(double value);

}  // namespace mfp
