// Sessions of different threads on one network give what they give alone. With a network file and a runtime as
// arguments there; without, ThreadSanitizer sees every line that runs.
#include <thread>

#include "check.hpp"
#include "fake.hpp"

namespace {

constexpr int threads = 4, height = 120, width = 90;

std::vector<float> clicks_of(int k, const std::shared_ptr<const mfp::Network>& network) {
    const auto pixels = noise_image(height, width, 3, static_cast<unsigned>(k));
    mfp::SessionOptions options;
    options.longer_side = 64;
    mfp::Session session(network, {pixels.data(), height, width, 3, 0}, options);
    std::vector<float> maps;
    for (int i = 0; i < 6; ++i) {
        session.click((17 * i + 5 * k) % width, (29 * i + 3 * k) % height, i % 3 != 2);
        if (i == 3) session.undo();
        const auto map = session.probability().values;
        maps.insert(maps.end(), map.begin(), map.end());
    }
    return maps;
}

void check(const std::shared_ptr<const mfp::Network>& network) {
    std::vector<std::vector<float>> alone(threads), together(threads);
    for (int k = 0; k < threads; ++k) alone[k] = clicks_of(k, network);
    std::vector<std::thread> all;
    for (int k = 0; k < threads; ++k) all.emplace_back([&, k] { together[k] = clicks_of(k, network); });
    for (std::thread& thread : all) thread.join();
    for (int k = 0; k < threads; ++k) CHECK(alone[k] == together[k]);
}

}  // namespace

int main(int count, char** arguments) {
    mfp::NetworkOptions options;
    if (count > 2) options.runtime = arguments[2];
    check(count > 2 ? mfp::Network::load(arguments[1], options) : fake_network());
    return report();
}
