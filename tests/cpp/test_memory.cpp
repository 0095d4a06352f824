// Sessions in too little memory: this program's allocations fail beyond a limit. What undo and redo would like to have
// is given up for a click, and the network gives the same bits again.
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "check.hpp"
#include "fake.hpp"

namespace {

constexpr std::size_t header = 16;  // in front of each allocation: its size; keeps what follows aligned
constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
std::size_t used = 0, limit = none;

void* take(std::size_t size) {
    if (limit != none && used + size > limit) return nullptr;
    auto* place = static_cast<unsigned char*>(std::malloc(header + size));
    if (!place) return nullptr;
    std::memcpy(place, &size, sizeof size);
    used += size;
    return place + header;
}

void give(void* pointer) noexcept {
    if (!pointer) return;
    auto* place = static_cast<unsigned char*>(pointer) - header;
    std::size_t size;
    std::memcpy(&size, place, sizeof size);
    used -= size;
    std::free(place);
}

}  // namespace

void* operator new(std::size_t size) {
    if (void* place = take(size)) return place;
    throw std::bad_alloc();
}
void operator delete(void* pointer) noexcept { give(pointer); }
void operator delete(void* pointer, std::size_t) noexcept { give(pointer); }

namespace {

constexpr int height = 300, width = 400;
constexpr double clicks[][3] = {{50, 40, 1}, {55, 50, 0}, {300, 200, 1}, {200.5, 150.25, 0}, {70, 45, 1}};
constexpr std::size_t count = std::size(clicks);
const std::vector<std::uint8_t> pixels = noise_image(height, width, 3, 2);
const mfp::Image image = {pixels.data(), height, width, 3, 0};

// Clicks, and then allows no more than what is in use, a mask to return, and less than a map.
struct Subject {
    std::shared_ptr<FakeSwitches> switches = std::make_shared<FakeSwitches>();
    mfp::Session session;
    std::vector<mfp::Map> maps;

    explicit Subject(std::size_t clicked) : session(fake_network(switches), image, options()) {
        maps.push_back(session.probability());
        for (std::size_t k = 0; k < clicked; ++k) {
            click(k);
            maps.push_back(session.probability());
        }
        limit = used + height * width + map_bytes / 2;
    }
    ~Subject() { limit = none; }

    static constexpr std::size_t map_bytes = 192 * 256 * sizeof(float);
    static mfp::SessionOptions options() {
        mfp::SessionOptions options;
        options.size = mfp::Size{192, 256};
        return options;
    }

    void click(std::size_t k) { session.click(clicks[k][0], clicks[k][1], clicks[k][2] != 0); }

    bool shows(const mfp::Map& map) {
        const std::size_t before = limit;
        limit = none;  // the copy that is looked at is no part of the matter
        const bool same = session.probability().values == map.values;
        limit = before;
        return same;
    }
};

std::vector<mfp::Map> expected() { return Subject(count).maps; }

void maps_are_given_up_for_a_click() {
    const auto maps = expected();
    Subject subject(3);
    const int passes = subject.switches->passes;
    subject.session.undo();
    subject.session.redo();
    CHECK_EQUAL(subject.switches->passes.load(), passes);  // nothing is given up before there is need
    subject.click(3);
    CHECK(subject.shows(maps[4]));
    subject.click(4);
    CHECK(subject.shows(maps[5]));
    for (std::size_t k = count; k-- > 0;) {
        subject.session.undo();
        CHECK(subject.shows(maps[k]));
    }
    for (std::size_t k = 1; k <= count; ++k) {
        subject.session.redo();
        CHECK(subject.shows(maps[k]));
    }
    CHECK(subject.switches->passes > passes + 4);
}

void what_is_undone_is_given_up_too() {
    const auto maps = expected();
    Subject subject(3);
    subject.session.undo();
    subject.session.undo();
    subject.session.undo();
    limit = used + height * width + Subject::map_bytes / 2;
    subject.session.redo();   // pastes
    limit -= height * width;  // not even the mask has room
    subject.session.redo();
    CHECK(subject.shows(maps[2]));
    subject.session.redo();
    CHECK(subject.shows(maps[3]));
}

void with_nothing_to_give_up_the_click_fails() {
    Subject subject(0);
    CHECK_THROWS(subject.click(0), std::bad_alloc, "");
    CHECK(subject.shows(subject.maps[0]));
    CHECK(!subject.session.can_undo());
    limit = none;
    subject.click(0);
    CHECK(subject.shows(expected()[1]));
}

void a_pass_that_fails_in_undo_loses_no_click() {
    const auto maps = expected();
    Subject subject(3);
    subject.click(3);
    subject.switches->throws = true;
    CHECK_THROWS(subject.session.undo(), mfp::NetworkError, "told to fail");
    CHECK(subject.session.clicks().empty());
    CHECK(subject.shows(maps[0]));
    CHECK_THROWS(subject.session.redo(), mfp::NetworkError, "told to fail");
    subject.switches->throws = false;
    for (std::size_t k = 1; k <= 4; ++k) {
        subject.session.redo();
        CHECK(subject.shows(maps[k]));
    }
    CHECK(!subject.session.can_redo());
}

}  // namespace

int main() {
    maps_are_given_up_for_a_click();
    what_is_undone_is_given_up_too();
    with_nothing_to_give_up_the_click_fails();
    a_pass_that_fails_in_undo_loses_no_click();
    return report();
}
