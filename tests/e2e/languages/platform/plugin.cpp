#include "pointsman.hpp"

#include <chrono>
#include <cstdio>
#include <iostream>
#include <random>
#include <string>

struct Mine {
    std::string body;

    pointsman::Cacheability configure(pointsman::Config) { return pointsman::cacheable; }

    pointsman::Decision route(pointsman::Request &request)
    {
        const auto path = request.path();
        body.clear();
        if (path == "/print") {
            std::cout << "printed" << std::endl;
        } else if (path == "/open") {
            body = std::fopen("/etc/passwd", "r") ? "some" : "none";
        } else if (path == "/clock") {
            const auto now = std::chrono::system_clock::now().time_since_epoch();
            body = std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now).count());
        } else if (path == "/random") {
            std::random_device device;
            body = std::to_string(device()) + std::to_string(device());
        }
        return pointsman::respond(200, body);
    }
};

POINTSMAN_PLUGIN(Mine)
