// Search for files installed beside the library: networks, and a copy of ONNX Runtime.
#include "packaged.hpp"

#include <algorithm>
#include <filesystem>

#include "mfp/errors.hpp"
#include "text.hpp"

#ifndef _WIN32
#include <dlfcn.h>
#endif

namespace mfp {
namespace {

namespace fs = std::filesystem;

// Where networks are installed, beside the library first, so that a prefix can be moved.
std::vector<fs::path> folders() {
    std::vector<fs::path> found;
    if (const std::string own = library_folder(); !own.empty()) found.push_back(fs::u8path(own) / MFP_NETWORKS_BESIDE);
    found.push_back(fs::u8path(MFP_NETWORKS_INSTALLED));
    found.push_back(fs::u8path(MFP_NETWORKS_SOURCE));
    return found;
}

std::string packaged_names() {
    std::vector<std::string> names;
    for (const fs::path& folder : folders()) {
        std::error_code none;
        for (fs::directory_iterator entry(folder, none), end; !none && entry != end; entry.increment(none)) {
            if (entry->path().extension() == ".onnx") names.push_back(entry->path().stem().u8string());
        }
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    return list.empty() ? "none: its folder " + folders().front().lexically_normal().u8string() + " is not there"
                        : list;
}

}  // namespace

std::string library_folder() {
#ifndef _WIN32
    Dl_info info;
    if (dladdr(reinterpret_cast<void*>(&library_folder), &info) && info.dli_fname) {
        std::error_code failure;
        const fs::path file = fs::absolute(info.dli_fname, failure);
        if (!failure) return file.parent_path().u8string();
    }
#endif
    return "";
}

std::string find_network(const std::string& path, const std::string& precision) {
    const fs::path source = fs::u8path(path);
    std::error_code none;
    if (path.empty() || source.has_extension() || source.has_parent_path() || fs::exists(source, none)) return path;
    for (const fs::path& folder : folders()) {
        const fs::path plain = folder / fs::u8path(path + ".onnx");
        const fs::path of_precision = folder / fs::u8path(text(path, "_", precision, ".onnx"));
        for (const fs::path& file : {of_precision, plain}) {
            if (fs::is_regular_file(file, none)) return file.lexically_normal().u8string();
        }
    }
    throw NetworkError(text("no such file, and no such network in the package: ", path, "; packaged are ",
                            packaged_names(), ". Network files end in .onnx or .plan"));
}

}  // namespace mfp
