// A plugin whose behavior a test defines.

#ifndef PROBE_HPP
#define PROBE_HPP

#include <functional>

#include "pointsman.hpp"
#include "pointsman_test.h"

// Configures the plugin with `json`, and runs `during` as its configure function.
const char *configure(const char *json, std::function<void(pointsman::Config)> during);
// Routes the test's request, and runs `during` as the plugin's route function.
const char *route(std::function<pointsman::Decision(pointsman::Request &)> during);

#endif
