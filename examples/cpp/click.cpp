// Clicks on a photograph, the mask as a picture:
//     click NETWORK.onnx PHOTOGRAPH MASK +240,130 -30,200 …
// Clicks are x,y in pixels; + adds to the object, - removes from it.
#include <cstdio>

#include "pictures.hpp"

int main(int count, char** arguments) {
    if (count < 5) {
        std::fprintf(stderr, "expected: click NETWORK.onnx PHOTOGRAPH MASK +X,Y -X,Y …\n");
        return 2;
    }
    try {
        const auto network = mfp::Network::load(arguments[1]);
        const Picture photograph = read_picture(arguments[2]);
        mfp::Session session(network, photograph.view());
        mfp::Mask mask;
        for (int i = 4; i < count; ++i) {
            char sign = 0;
            double x = 0, y = 0;
            if (std::sscanf(arguments[i], "%c%lf,%lf", &sign, &x, &y) != 3 || (sign != '+' && sign != '-')) {
                std::fprintf(stderr, "expected a click like +240,130 or -30,200, got %s\n", arguments[i]);
                return 2;
            }
            mask = session.click(x, y, sign == '+');
            const mfp::Timing timing = *session.timing();
            std::printf("%s: %zu pixels, %.1f ms, %.1f of them outside the network\n", arguments[i], mask.area(),
                        timing.total(), timing.outside_network());
        }
        write_mask(arguments[3], mask);
    } catch (const std::exception& error) {  // mfp::Error and what pictures.hpp throws
        std::fprintf(stderr, "click: %s\n", error.what());
        return 1;
    }
}
