// Reading photographs and writing masks. Without OpenCV: binary PPM and PGM in, PGM out; with it whatever it reads and
// writes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <locale>
#include <stdexcept>
#include <string>
#include <vector>

#include "mfp/session.hpp"

#ifdef HAS_OPENCV
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#endif

struct Picture {
    int height = 0, width = 0, channels = 3;
    std::vector<std::uint8_t> pixels;  // RGB or grey

    mfp::Image view() const { return {pixels.data(), height, width, channels, 0}; }
};

// P6 (RGB) and P5 (grey), 8 bits.
inline Picture read_ppm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    file.imbue(std::locale::classic());
    std::string kind;
    int values[3] = {};
    file >> kind;
    for (int& value : values) {
        while ((file >> std::ws).peek() == '#') file.ignore(1 << 20, '\n');
        file >> value;
    }
    file.get();
    Picture picture{values[1], values[0], kind == "P5" ? 1 : 3, {}};
    const bool is_known = (kind == "P5" || kind == "P6") && values[2] == 255 && picture.height > 0 && picture.width > 0;
    if (!file || !is_known || picture.height > 65535 || picture.width > 65535) {
        throw std::runtime_error("cannot read " + path +
                                 ": expected a binary PPM or PGM of 8 bits"
#ifndef HAS_OPENCV
                                 "; for JPEG and PNG build with OpenCV, or convert it: magick FILE FILE.ppm"
#endif
        );
    }
    picture.pixels.resize(static_cast<std::size_t>(picture.height) * picture.width * picture.channels);
    if (!file.read(reinterpret_cast<char*>(picture.pixels.data()),
                   static_cast<std::streamsize>(picture.pixels.size()))) {
        throw std::runtime_error("cannot read " + path + ": it ends too early");
    }
    return picture;
}

inline Picture read_picture(const std::string& path) {
#ifdef HAS_OPENCV
    cv::Mat image = cv::imread(path, cv::IMREAD_COLOR);
    if (image.empty()) throw std::runtime_error("cannot read " + path + ": no picture that OpenCV knows");
    cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
    return {image.rows, image.cols, 3, {image.datastart, image.dataend}};
#else
    return read_ppm(path);
#endif
}

// Whether a mask can be written in the format of this ending; to be asked before the work. Throws std::runtime_error.
inline void check_mask_path(const std::string& path) {
#ifdef HAS_OPENCV
    if (!cv::haveImageWriter(path)) {
        throw std::runtime_error("cannot write " + path + ": OpenCV knows no such format; name it .png");
    }
#else
    std::string ending = path.substr(path.size() < 4 ? 0 : path.size() - 4);
    for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (ending != ".pgm") {
        throw std::runtime_error("cannot write " + path +
                                 ": without OpenCV masks are PGM; name it .pgm, or build with OpenCV");
    }
#endif
}

// 255 on the object, 0 elsewhere.
inline void write_mask(const std::string& path, const mfp::Mask& mask) {
    check_mask_path(path);
    std::vector<std::uint8_t> grey(mask.pixels);
    for (std::uint8_t& value : grey) value = value ? 255 : 0;
#ifdef HAS_OPENCV
    if (!cv::imwrite(path, cv::Mat(mask.height, mask.width, CV_8U, grey.data()))) {
        throw std::runtime_error("cannot write " + path);
    }
#else
    std::ofstream file(path, std::ios::binary);
    file.imbue(std::locale::classic());
    file << "P5\n" << mask.width << " " << mask.height << "\n255\n";
    file.write(reinterpret_cast<const char*>(grey.data()), static_cast<std::streamsize>(grey.size()));
    file.close();
    if (!file) throw std::runtime_error("cannot write " + path);
#endif
}
