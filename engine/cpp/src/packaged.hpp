// Files installed beside the library: networks, and a copy of ONNX Runtime.
#pragma once

#include <string>
#include <vector>

namespace mfp {

// The folder of the file that this code is in, the shared library or the program; empty where the system does not say.
std::string library_folder();

// The file that a name like "lite0" stands for: in the installed library's share/mfp/networks, else in the source tree.
// The path as it came where it is that of a file, or no bare name. Throws NetworkError: no file and no such network.
std::string find_network(const std::string& path, const std::string& precision);

}  // namespace mfp
