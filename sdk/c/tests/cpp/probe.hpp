// A plugin that does what a test says.

#ifndef PROBE_HPP
#define PROBE_HPP

#include <functional>

#include "pointsman.hpp"
#include "pointsman_test.h"

extern std::function<void(pointsman::Config)> in_configure;
extern std::function<pointsman::Decision(pointsman::Request &)> in_route;

#endif
