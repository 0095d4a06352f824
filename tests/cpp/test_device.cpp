// Sessions on a GPU: the very pipeline, lanes and kernels that run there, on the twin (twin.hpp), against sessions on the
// host. Whatever varies from click to click must have come through the parameter block: graphs replay what was recorded.
#include <array>
#include <limits>
#include <thread>

#include "check.hpp"
#include "fake.hpp"
#include "mfp/cuda.hpp"
#include "twin.hpp"

namespace {

constexpr int height = 60, width = 90;
const std::vector<mfp::Click> points = {
    {40, 30, true}, {10, 10, false}, {50, 20, true}, {43, 33, true}, {85, 55, false}};

struct Fixture {
    explicit Fixture(bool deferred = false, const std::string& why_eager = "", mfp::NetworkInfo info = {},
                     bool backward = false)
        : switches(std::make_shared<FakeSwitches>()),
          twin(std::make_shared<TwinDevice>(deferred, 2, backward)),
          host(fake_network(switches, std::move(info))),
          network(on_twin(host, twin, why_eager)),
          pixels(noise_image(height, width, 3, 5)) {
        small.size = mfp::Size{24, 32};
    }

    mfp::Image image() const { return {pixels.data(), height, width}; }
    const TwinBackend& backend() const { return static_cast<const TwinBackend&>(network->backend()); }

    std::shared_ptr<FakeSwitches> switches;
    std::shared_ptr<TwinDevice> twin;
    std::shared_ptr<const mfp::Network> host, network;
    std::vector<std::uint8_t> pixels;
    mfp::SessionOptions small;
};

bool same(const std::optional<mfp::Roi>& a, const std::optional<mfp::Roi>& b) {
    return a && b && a->row_min == b->row_min && a->row_max == b->row_max && a->col_min == b->col_min &&
           a->col_max == b->col_max;
}

void check_alike(mfp::Session& there, mfp::Session& here, float threshold, const std::string& what) {
    for (const mfp::Click& point : points) {
        const mfp::Mask mask = there.click(point.x, point.y, point.positive);
        const mfp::Mask expected = here.click(point.x, point.y, point.positive);
        if (!same(there.roi(), here.roi())) failed(__FILE__, __LINE__, what + ": regions");
        CHECK_EQUAL(there.timing()->passes, here.timing()->passes);
        CHECK(there.timing()->device > 0 && there.timing()->network == 0);
        const mfp::Map a = there.probability(), b = here.probability();
        float largest = 0;
        bool masks = true;
        for (std::size_t i = 0; i < a.values.size(); ++i) {
            largest = std::max(largest, std::abs(a.values[i] - b.values[i]));
            if (std::abs(b.values[i] - threshold) > 1e-4f) masks &= mask.pixels[i] == expected.pixels[i];
        }
        if (!(largest < 2e-5f) || !masks) failed(__FILE__, __LINE__, what + ": " + std::to_string(largest));
    }
}

void equals_the_session_on_the_host() {
    std::vector<std::uint8_t> initial(height * width);
    for (int i = 0; i < 900; ++i) initial[i] = 1;
    std::vector<std::pair<std::string, mfp::SessionOptions>> all(7);
    for (auto& [name, options] : all) options.size = mfp::Size{24, 32};
    all[0].first = "default";
    all[1].first = "no flip";
    all[1].second.flip = false;
    all[2].first = "longer side";
    all[2].second.size = std::nullopt;
    all[2].second.longer_side = 40;
    all[3].first = "rgb";
    all[3].second.distance = mfp::Distance::rgb;
    all[3].second.r_max = 12;
    all[4].first = "late clicks";
    all[4].second.n_early = 1;
    all[5].first = "threshold";
    all[5].second.threshold = 0.6;
    all[6].first = "initial mask";
    all[6].second.initial_mask = initial.data();
    bool backward = false;
    for (const auto& [name, options] : all) {
        const Fixture f(true, "", {}, backward = !backward);
        mfp::Session there(f.network, f.image(), options), here(f.host, f.image(), options);
        check_alike(there, here, static_cast<float>(options.threshold), name);
        if (options.size) CHECK_EQUAL(f.twin->graphs.load(), 2);
    }
}

// Masks come as bits, a row's rounded up to whole words: under AddressSanitizer nothing behind the last row is read.
void masks_of_any_width() {
    const Fixture f;
    for (const int side : {1, 7, 8, 31, 32, 33, 64, 96}) {
        const auto noise = noise_image(height, side, 3, 5);
        const mfp::Image image = {noise.data(), height, side};
        mfp::Session there(f.network, image, f.small), here(f.host, image, f.small);
        CHECK(there.click(side - 1, 30).pixels == here.click(side - 1, 30).pixels);
    }
}

void one_pair_of_graphs_serves_all_sessions() {
    const Fixture f;
    auto other = f.pixels;
    std::reverse(other.begin(), other.end());
    mfp::Session a(f.network, f.image(), f.small), b(f.network, {other.data(), height, width}, f.small);
    for (const mfp::Click& point : points) {
        a.click(point.x, point.y, point.positive);
        b.click(point.x, point.y, point.positive);
    }
    CHECK_EQUAL(f.twin->graphs.load(), 2);
    CHECK_EQUAL(f.backend().workers.load(), 1);
    mfp::Session alone(f.network, f.image(), f.small);
    for (const mfp::Click& point : points) alone.click(point.x, point.y, point.positive);
    CHECK(alone.probability().values == a.probability().values);
    CHECK(alone.probability().values != b.probability().values);
}

void a_size_that_comes_once_is_not_recorded() {
    const Fixture f;
    mfp::SessionOptions options;
    options.longer_side = 40;
    mfp::Session session(f.network, f.image(), options);
    session.click(40, 30);
    CHECK_EQUAL(f.twin->graphs.load(), 0);
    session.reset();
    session.click(10, 10);
    CHECK_EQUAL(f.twin->graphs.load(), 2);
}

void more_clicks_than_there_was_room_for() {
    const Fixture f;
    mfp::SessionOptions options = f.small;
    mfp::Session there(f.network, f.image(), options), here(f.host, f.image(), options);
    for (int i = 0; i < 34; ++i) {
        const double x = 7 * i % width, y = 11 * i % height;
        there.click(x, y, i % 3 != 1);
        here.click(x, y, i % 3 != 1);
    }
    const mfp::Map a = there.probability(), b = here.probability();
    for (std::size_t i = 0; i < a.values.size(); ++i) CHECK(std::abs(a.values[i] - b.values[i]) < 1e-4f);
}

void undo_and_redo_give_the_same_bits_without_a_pass() {
    const Fixture f(true);
    std::vector<std::uint8_t> initial(height * width);
    initial[5 * width + 5] = 1;
    mfp::SessionOptions options = f.small;
    options.initial_mask = initial.data();
    mfp::Session session(f.network, f.image(), options);
    std::vector<mfp::Map> maps = {session.probability()};
    std::vector<mfp::Mask> masks = {session.mask()};
    CHECK(masks[0].pixels == initial);
    for (const mfp::Click& point : points) {
        masks.push_back(session.click(point.x, point.y, point.positive));
        maps.push_back(session.probability());
    }
    const int passes = f.switches->passes.load();
    for (std::size_t i = points.size(); i-- > 0;) {
        CHECK(session.undo().pixels == masks[i].pixels);
        CHECK(session.probability().values == maps[i].values);
    }
    for (std::size_t i = 1; i <= points.size(); ++i) {
        CHECK(session.redo().pixels == masks[i].pixels);
        CHECK(session.probability().values == maps[i].values);
    }
    CHECK_EQUAL(f.switches->passes.load(), passes);
    session.finish();
    CHECK_EQUAL(session.mask().area(), 0u);
}

void undo_of_many_clicks_gives_the_same_bits_without_a_pass() {
    constexpr int tall = 6, wide = 300;  // regions that are not all of it
    const Fixture f(true);
    auto large = noise_image(tall, wide, 3, 6);
    for (auto& value : large) value %= 4;  // an object where clicks are, and nowhere else
    for (const bool with_initial : {false, true}) {
        std::vector<std::uint8_t> initial(tall * wide);
        std::fill_n(initial.begin() + 2 * wide + 8, 20, std::uint8_t(1));
        mfp::SessionOptions options = f.small;
        options.initial_mask = with_initial ? initial.data() : nullptr;
        mfp::Session session(f.network, {large.data(), tall, wide}, options);
        std::vector<mfp::Map> maps = {session.probability()};
        bool whole = true;
        for (int i = 0; i < 20; ++i) {
            session.click(i < 12 ? 20 + 2 * i : 230 + i, i % 6, i % 3 != 1);
            maps.push_back(session.probability());
            whole = whole && session.roi()->col_max - session.roi()->col_min + 1 == wide;
        }
        CHECK(!whole);
        const int passes = f.switches->passes;
        for (std::size_t i = 20; i-- > 0;) {
            session.undo();
            CHECK(session.probability().values == maps[i].values);
        }
        for (std::size_t i = 1; i <= 20; ++i) {
            session.redo();
            CHECK(session.probability().values == maps[i].values);
        }
        CHECK_EQUAL(f.switches->passes.load(), passes);
    }
}

// Logits so low that the whole map is exactly zero: the second click needs two passes, which the GPU alone can see.
class Zeros : public mfp::HostBackend {
public:
    Zeros() : HostBackend("zeros", {}) {}
    void run(const mfp::Tensors& t) const override {
        std::fill_n(t.logits, static_cast<std::size_t>(t.batch) * t.height * t.width, -200.0f);
    }
};

void a_crop_of_zeros_takes_a_second_pass() {
    const Fixture f(true);
    const auto zeros = std::make_shared<const mfp::Network>(std::make_unique<const Zeros>());
    mfp::Session session(on_twin(zeros, f.twin), f.image(), f.small);
    session.click(40, 30);
    CHECK_EQUAL(session.timing()->passes, 2);
    session.click(50, 30);
    CHECK_EQUAL(session.timing()->passes, 3);
}

void failures_leave_the_session_as_it_was() {
    const Fixture f;
    mfp::Session session(f.network, f.image(), f.small);
    const mfp::Mask mask = session.click(40, 30);
    const auto map = session.probability().values;
    const auto unchanged = [&] {
        CHECK_EQUAL(session.clicks().size(), 1u);
        CHECK(session.mask().pixels == mask.pixels);
        CHECK(session.probability().values == map);
    };
    f.switches->not_finite = true;
    CHECK_THROWS(session.click(50, 30), mfp::NetworkError,
                 "<twin unknown any size fp32> gave logits that are not finite");
    unchanged();
    f.switches->not_finite = false;
    f.switches->throws = true;
    CHECK_THROWS(session.click(50, 30), mfp::NetworkError, "told to fail");
    unchanged();
    f.switches->throws = false;
    session.click(50, 30);  // in a new lane: the one that failed was not given back
    CHECK_EQUAL(f.backend().workers.load(), 2);

    mfp::Session alone(f.network, f.image(), f.small);
    for (const double x : {40, 50}) alone.click(x, 30);
    CHECK(alone.probability().values == session.probability().values);
}

void a_full_gpu_loses_nothing() {
    const Fixture f;
    mfp::SessionOptions any;
    any.longer_side = 40;
    mfp::Session session(f.network, f.image(), f.small);
    const std::size_t before = f.twin->bytes_alive();
    f.twin->refusals = 1;
    bool thrown = false;
    try {
        mfp::Session(f.network, f.image(), f.small);
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    CHECK(thrown);
    CHECK_EQUAL(f.twin->bytes_alive(), before);
    f.twin->refusals = 1;  // of the piece for several maps: one alone is found room for
    session.click(40, 30);
    CHECK_EQUAL(session.mask().area(), session.undo().area() + session.redo().area());
    f.twin->refusals = 0;
}

void maps_are_given_up_where_the_gpu_is_full() {
    const Fixture f;
    mfp::Session session(f.network, f.image(), f.small);
    std::vector<mfp::Map> maps;
    for (int i = 0; i < 8; ++i) {  // as many as one piece of memory holds
        session.click(11 * i, 7 * i, i % 3 != 1);
        maps.push_back(session.probability());
    }
    f.twin->refusals = 2;  // of the next piece for many maps, and of that for one
    session.click(40, 30);
    const mfp::Map last = session.probability();
    const int passes = f.switches->passes;
    session.undo();
    CHECK_EQUAL(f.switches->passes - passes, 9);  // eight clicks, the first of them with its two passes
    CHECK(session.probability().values == maps[7].values);
    session.undo();
    CHECK(session.probability().values == maps[6].values);
    session.redo();
    session.redo();
    CHECK(session.probability().values == last.values);
}

void images_on_the_gpu_are_used_in_place() {
    const Fixture f;
    mfp::Session expected(f.network, f.image(), f.small);
    mfp::SessionOptions options = f.small;
    expected.click(40, 30);
    const auto map = expected.probability().values;
    const std::size_t area = height * width;
    std::vector<std::uint8_t> planes(3 * area), rgba(4 * area), upside_down(3 * area);
    for (std::size_t i = 0; i < area; ++i) {
        for (std::size_t c = 0; c < 3; ++c) planes[c * area + i] = rgba[4 * i + c] = f.pixels[3 * i + c];
    }
    for (int row = 0; row < height; ++row) {
        std::copy_n(f.pixels.begin() + 3 * width * row, 3 * width,
                    upside_down.begin() + 3 * width * (height - 1 - row));
    }
    const mfp::CudaImage images[] = {
        {f.pixels.data(), height, width},
        {rgba.data(), height, width, 4},
        {planes.data(), height, width, 3, width, 1, static_cast<std::ptrdiff_t>(area)},
        {upside_down.data() + 3 * width * (height - 1), height, width, 3, -3 * width, 3, 1}};
    for (const mfp::CudaImage& image : images) {
        mfp::CudaSession session(f.network, image, std::nullopt, options);
        session.click(40, 30);
        CHECK(session.probability().values == map);
    }
    std::vector<std::uint8_t> grey(f.pixels.begin(), f.pixels.begin() + area), triple;
    for (const std::uint8_t value : grey) triple.insert(triple.end(), 3, value);
    mfp::CudaSession one(f.network, mfp::CudaImage{grey.data(), height, width, 1}, std::nullopt, options);
    mfp::Session three(f.network, {triple.data(), height, width}, options);
    mfp::Session host(f.network, {grey.data(), height, width, 1}, options);
    for (mfp::Session* session : {static_cast<mfp::Session*>(&one), &three, &host}) session->click(40, 30);
    CHECK(one.probability().values == three.probability().values);
    CHECK(host.probability().values == three.probability().values);
}

void a_stream_of_the_callers() {
    const Fixture f(true);
    for (void* stream : {reinterpret_cast<void*>(0x7770), static_cast<void*>(nullptr)}) {
        mfp::Session prepared(f.network, f.image(), f.small);
        f.twin->streams_used.clear();
        mfp::CudaSession session(f.network, f.image(), stream, f.small);
        CHECK(session.stream() == stream);
        const mfp::Mask mask = session.click(40, 30);
        std::vector<std::uint8_t> unpacked(mask.pixels.size());
        session.device_mask(unpacked.data());
        CHECK(unpacked == mask.pixels);
        const auto map = session.probability().values;
        CHECK(std::equal(map.begin(), map.end(), session.device_probability()));
        session.undo();
        CHECK(f.twin->streams_used == std::set<void*>{stream});
        CHECK_EQUAL(session.why_eager(), "");
    }
}

void what_is_refused() {
    const Fixture f;
    CHECK_THROWS(mfp::CudaSession(f.host, f.image()), mfp::OptionError, "expected a network on a GPU, got <fake");
    CHECK_THROWS(mfp::CudaSession(nullptr, f.image()), mfp::OptionError, "expected a network, got none");
    CHECK_THROWS(mfp::CudaSession(f.network, mfp::CudaImage{nullptr, 4, 4}), mfp::ImageError, "got no pixels");
    CHECK_THROWS(mfp::CudaSession(f.network, mfp::CudaImage{f.pixels.data(), 4, 4, 2}), mfp::ImageError, "1 (grey)");
    constexpr auto most = std::numeric_limits<std::ptrdiff_t>::max(),
                   least = std::numeric_limits<std::ptrdiff_t>::min();
    for (const std::ptrdiff_t stride : {least, most, least / 2, most / 4}) {
        for (const auto& [row, column, channel] : {std::array{stride, std::ptrdiff_t{3}, std::ptrdiff_t{1}},
                                                   {std::ptrdiff_t{12}, stride, std::ptrdiff_t{1}},
                                                   {std::ptrdiff_t{12}, std::ptrdiff_t{3}, stride}}) {
            CHECK_THROWS(mfp::CudaSession(f.network, mfp::CudaImage{f.pixels.data(), 4, 4, 3, row, column, channel}),
                         mfp::ImageError, "bytes apart, got a stride of");
        }
    }
    f.twin->out_of_reach = f.pixels.data();
    CHECK_THROWS(mfp::CudaSession(f.network, mfp::CudaImage{f.pixels.data(), 4, 4}), mfp::ImageError,
                 "expected an image in the memory of the network's GPU; the one given lies on GPU 1");
}

void steps_that_cannot_be_recorded_run_one_by_one() {
    const Fixture f(true, "passes allocate memory");
    mfp::CudaSession there(f.network, f.image(), std::nullopt, f.small);
    CHECK_EQUAL(there.why_eager(), "passes allocate memory");
    CHECK_EQUAL(f.twin->graphs.load(), 0);
    mfp::Session here(f.host, f.image(), f.small);
    check_alike(there, here, 0.5f, "eager");
}

void sessions_of_several_threads() {
    const Fixture f;
    mfp::Session alone(f.network, f.image(), f.small);
    for (const mfp::Click& point : points) alone.click(point.x, point.y, point.positive);
    const auto expected = alone.probability().values;
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            mfp::Session session(f.network, f.image(), f.small);
            for (const mfp::Click& point : points) session.click(point.x, point.y, point.positive);
            wrong += session.probability().values != expected;
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_EQUAL(wrong.load(), 0);
}

void sessions_leave_no_byte() {
    const Fixture f;
    {
        mfp::Session first(f.network, f.image(), f.small);
    }
    const std::size_t before = f.twin->bytes_alive();
    for (int i = 0; i < 3; ++i) {
        mfp::Session session(f.network, f.image(), f.small);
        for (const mfp::Click& point : points) session.click(point.x, point.y, point.positive);
        mfp::Session moved = std::move(session);
        moved.undo();
    }
    CHECK_EQUAL(f.twin->bytes_alive(), before);
}

}  // namespace

int main() {
    equals_the_session_on_the_host();
    masks_of_any_width();
    one_pair_of_graphs_serves_all_sessions();
    a_size_that_comes_once_is_not_recorded();
    more_clicks_than_there_was_room_for();
    undo_and_redo_give_the_same_bits_without_a_pass();
    undo_of_many_clicks_gives_the_same_bits_without_a_pass();
    a_crop_of_zeros_takes_a_second_pass();
    failures_leave_the_session_as_it_was();
    a_full_gpu_loses_nothing();
    maps_are_given_up_where_the_gpu_is_full();
    images_on_the_gpu_are_used_in_place();
    a_stream_of_the_callers();
    what_is_refused();
    steps_that_cannot_be_recorded_run_one_by_one();
    sessions_of_several_threads();
    sessions_leave_no_byte();
    return report();
}
