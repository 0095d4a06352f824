// Messages, put together from parts.
#pragma once

#include <sstream>
#include <string>

namespace mfp {

template <class... Parts>
std::string text(const Parts&... parts) {
    std::ostringstream out;
    (out << ... << parts);
    return out.str();
}

// A library's message as part of a sentence of ours: without its line breaks and its full stop.
std::string one_line(const std::string& message);

}  // namespace mfp
