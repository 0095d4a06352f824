// The release's trajectories: regions exactly, maps within 2e-3 everywhere and 1e-4 on average
// (tests/golden/README.md). Arguments: runtime, folder of make_data.py, network file, then names of trajectories.
// The runtime "twin" is the first there is, in sessions as on a GPU, on the twin; "cuda" the same on a GPU, all but the
// network. Ends with 77 where there is no GPU to run on.
#include <cmath>
#include <cstdio>

#include "../../examples/cpp/pictures.hpp"
#include "check.hpp"
#include "twin.hpp"
#ifdef HAS_CUDA
#include "on_cuda.hpp"
#endif

namespace {

void check_trajectory(const std::string& folder, const std::string& name,
                      const std::shared_ptr<const mfp::Network>& network) {
    std::ifstream file(folder + "/" + name + ".txt");
    std::string image;
    int sides = 0, size[2] = {}, flip = 0, count = 0;
    file >> image >> sides;
    for (int i = 0; i < sides; ++i) file >> size[i];
    file >> flip >> count;
    struct Row {
        double row, column;
        int positive;
        mfp::Roi roi;
        int passes;
    };
    std::vector<Row> rows(count);
    for (Row& r : rows) {
        file >> r.row >> r.column >> r.positive >> r.roi.row_min >> r.roi.row_max >> r.roi.col_min >> r.roi.col_max >>
            r.passes;
    }
    int maps = 0, height = 0, width = 0;
    file >> maps >> height >> width;
    std::vector<float> expected(static_cast<std::size_t>(maps) * height * width);
    std::ifstream values(folder + "/" + name + ".f32", std::ios::binary);
    values.read(reinterpret_cast<char*>(expected.data()),
                static_cast<std::streamsize>(expected.size() * sizeof(float)));
    CHECK(file && values && count > 0 && maps == count);
    if (failures()) return;

    const Picture picture = read_ppm(folder + "/" + image + ".ppm");
    mfp::SessionOptions options;
    options.flip = flip != 0;
    if (sides == 2) {
        options.size = mfp::Size{size[0], size[1]};
    } else {
        options.longer_side = size[0];
    }
    mfp::Session session(network, picture.view(), options);
    double worst = 0, worst_mean = 0, outside = 0;
    for (int k = 0; k < count; ++k) {
        const Row& r = rows[k];
        session.click(r.column, r.row, r.positive != 0);
        const mfp::Roi roi = *session.roi();
        const bool same = roi.row_min == r.roi.row_min && roi.row_max == r.roi.row_max &&
                          roi.col_min == r.roi.col_min && roi.col_max == r.roi.col_max;
        if (!same) failed(__FILE__, __LINE__, name + ": region after click " + std::to_string(k + 1));
        CHECK_EQUAL(session.timing()->passes, r.passes);
        outside = std::max(outside, session.timing()->outside_network());
        const mfp::Map map = session.probability();
        double largest = 0, sum = 0;
        for (int row = 0; row < height; ++row) {
            for (int column = 0; column < width; ++column) {
                const double difference =
                    std::abs(map.values[static_cast<std::size_t>(row) * 8 * map.width + column * 8] -
                             expected[(static_cast<std::size_t>(k) * height + row) * width + column]);
                largest = std::max(largest, difference);
                sum += difference;
            }
        }
        const double mean = sum / (static_cast<double>(height) * width);
        if (!(largest < 2e-3 && mean < 1e-4)) {
            failed(__FILE__, __LINE__,
                   name + " click " + std::to_string(k + 1) + ": largest difference " + std::to_string(largest) +
                       ", mean " + std::to_string(mean));
        }
        worst = std::max(worst, largest);
        worst_mean = std::max(worst_mean, mean);
    }
    std::printf("%s: %d clicks, largest difference %.2g, mean %.2g; outside the network up to %.1f ms\n", name.c_str(),
                count, worst, worst_mean, outside);
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 5) {
        std::fprintf(stderr, "expected: RUNTIME FOLDER NETWORK NAME…\n");
        return 2;
    }
    const std::string runtime = arguments[1];
    mfp::NetworkOptions options;
    if (runtime != "twin" && runtime != "cuda") options.runtime = runtime;
    std::shared_ptr<const mfp::Network> network;
    try {
        network = mfp::Network::load(arguments[3], options);
        if (runtime == "twin") network = on_twin(network, std::make_shared<TwinDevice>(true, 8));
#ifdef HAS_CUDA
        if (runtime == "cuda") network = on_cuda(network, mfp::open_cuda_device(0));
#endif
    } catch (const mfp::RuntimeMissingError& error) {
        std::printf("skipped: %s\n", error.what());
        return 77;
    }
    for (int i = 4; i < count; ++i) check_trajectory(arguments[2], arguments[i], network);
    return report();
}
