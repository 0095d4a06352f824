// SHA-256 of bytes, for plan files.
#pragma once

#include <cstddef>
#include <string>

namespace mfp {

// SHA-256 (FIPS 180-4) of bytes, in hexadecimal.
std::string sha256(const void* data, std::size_t size);

}  // namespace mfp
