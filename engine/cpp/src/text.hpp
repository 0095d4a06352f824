// Text of messages, joined from parts.
#pragma once

#include <locale>
#include <sstream>
#include <string>

namespace mfp {

// Numbers look the same whatever std::locale::global() says.
template <class... Parts>
std::string text(const Parts&... parts) {
    std::ostringstream out;
    out.imbue(std::locale::classic());
    (out << ... << parts);
    return out.str();
}

// A library's message as part of a sentence of ours: without its line breaks and its full stop.
std::string one_line(const std::string& message);

}  // namespace mfp
