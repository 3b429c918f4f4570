// A plugin that does what a test says.

#ifndef PROBE_HPP
#define PROBE_HPP

#include <functional>

#include "pointsman.hpp"
#include "pointsman_test.h"

// Configures with `json`, during which `during` is called.
const char *configure(const char *json, std::function<void(pointsman::Config)> during);
// Routes the test's request, during which `during` is called.
const char *route(std::function<pointsman::Decision(pointsman::Request &)> during);

#endif
