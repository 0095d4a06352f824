// Clicks in a window:
//     window NETWORK.onnx PHOTOGRAPH [MASK]
// The left button adds to the object, the right one removes from it; u takes a click back, r brings it back, q writes
// the mask, if it was given a place, and ends.
#include <cstdio>
#include <opencv2/highgui.hpp>
#include <utility>

#include "pictures.hpp"

int main(int count, char** arguments) {
    if (count < 3) {
        std::fprintf(stderr, "expected: window NETWORK.onnx PHOTOGRAPH [MASK]\n");
        return 2;
    }
    try {
        if (count > 3) check_mask_path(arguments[3]);
        const auto network = mfp::Network::load(arguments[1]);
        const Picture photograph = read_picture(arguments[2]);
        mfp::Session session(network, photograph.view());
        const std::string title = "mfp: left adds, right removes, u undo, r redo, q quit";
        const cv::Mat picture = cv::imread(arguments[2]);
        const auto show = [&](mfp::Mask mask) {
            const cv::Mat inside(mask.height, mask.width, CV_8U, mask.pixels.data());
            cv::Mat shown = picture.clone(), green(picture.size(), CV_8UC3, cv::Scalar(0, 200, 0)), tinted;
            cv::addWeighted(picture, 0.5, green, 0.5, 0, tinted);
            tinted.copyTo(shown, inside);
            cv::imshow(title, shown);
        };
        cv::namedWindow(title, cv::WINDOW_AUTOSIZE | cv::WINDOW_GUI_NORMAL);
        std::vector<mfp::Click> waiting;  // the window's own code is no place for passes or exceptions
        cv::setMouseCallback(
            title,
            [](int event, int x, int y, int, void* list) {
                if (event != cv::EVENT_LBUTTONDOWN && event != cv::EVENT_RBUTTONDOWN) return;
                static_cast<decltype(waiting)*>(list)->push_back({1.0 * x, 1.0 * y, event == cv::EVENT_LBUTTONDOWN, 0});
            },
            &waiting);
        show(session.mask());
        for (int key = 0; key != 'q' && cv::getWindowProperty(title, cv::WND_PROP_VISIBLE) > 0;) {
            key = cv::waitKey(20);
            for (const mfp::Click& click : std::exchange(waiting, {})) {
                try {
                    show(session.click(click.x, click.y, click.positive));
                    const char sign = click.positive ? '+' : '-';
                    std::printf("%c%.0f,%.0f: %.1f ms\n", sign, click.x, click.y, session.timing()->total());
                } catch (const mfp::ClickError& error) {  // in the window, beside the photograph
                    std::fprintf(stderr, "%s\n", error.what());
                }
            }
            if (key == 'u' && session.can_undo()) show(session.undo()), std::puts("undone");
            if (key == 'r' && session.can_redo()) show(session.redo()), std::puts("redone");
            std::fflush(stdout);
        }
        if (count > 3) write_mask(arguments[3], session.mask());
    } catch (const std::exception& error) {  // mfp::Error and what OpenCV and pictures.hpp throw
        std::fprintf(stderr, "window: %s\n", error.what());
        return 1;
    }
}
