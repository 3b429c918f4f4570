# Builds and tests a plugin in C or C++. A Makefile sets these variables, and includes this file:
#
#   SDK      the SDK's folder
#   SOURCES  the plugin's .c or .cpp files
#   TESTS    the source files of its test, which runs natively, without a sandbox
#
#   make         build/plugin.wasm
#   make test    builds the test with the machine's own compiler, and runs it
#   make clean
#
# To choose tools: make CC=... (CXX=... for C++), or WASI_SDK_PATH=/folder/of/wasi-sdk; for tests
# HOST_CC=... HOST_CXX=... SANITIZE=...

# V=1 shows the commands.
Q = $(if $(V),,@)
OPTIMIZE = -O2
WARNINGS = -Wall -Wextra
CFLAGS = -std=gnu17 $(WARNINGS)
CXXFLAGS = -std=c++17 $(WARNINGS) -fno-exceptions -fno-rtti
# A stack overflow traps instead of overwriting the plugin's data. Function names are kept, for
# backtraces.
LDFLAGS = -Wl,--stack-first -Wl,--strip-debug
HOST_CC = cc
HOST_CXX = c++
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all

SDK_SOURCES := $(addprefix $(SDK)/,pointsman.c pointsman_config.c pointsman_edit.c \
	pointsman_json.c pointsman_memory.c pointsman_questions.c pointsman_request.c pointsman_text.c)
DOUBLE := $(addprefix $(SDK)/pointsman_test,.c _backends.c _edits.c _matcher.c _parts.c \
	_questions.c _reads.c)
IS_CPP := $(filter %.cpp,$(SOURCES))

WASM_SOURCES := $(SOURCES) $(SDK_SOURCES) $(SDK)/pointsman_libc.c $(SDK)/bindings/router.c \
	$(if $(IS_CPP),$(SDK)/pointsman_cpp.cpp)
TEST_SOURCES := $(SOURCES) $(TESTS) $(SDK_SOURCES) $(DOUBLE)

WASM_OBJECTS := $(patsubst %,build/wasm/%.o,$(notdir $(WASM_SOURCES)))
TEST_OBJECTS := $(patsubst %,build/test/%.o,$(notdir $(TEST_SOURCES)))

WASM_FLAGS = $(OPTIMIZE) -fvisibility=hidden -I$(SDK) -MMD -MP -Wno-deprecated
# An access beyond the end of an array or a view traps.
WASM_CXXFLAGS = $(WASM_FLAGS) -fno-threadsafe-statics \
	-U_LIBCPP_HARDENING_MODE -D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_FAST
WASM_LDFLAGS = -Wno-deprecated -mexec-model=reactor $(LDFLAGS)
TEST_FLAGS = -g -O1 -I$(SDK) -MMD -MP $(SANITIZE)
TEST_CXXFLAGS = $(TEST_FLAGS) -D_GLIBCXX_ASSERTIONS

vpath %.c $(sort $(dir $(WASM_SOURCES) $(TEST_SOURCES)))
vpath %.cpp $(sort $(dir $(WASM_SOURCES) $(TEST_SOURCES)))

build/plugin.wasm: $(WASM_OBJECTS) $(SDK)/bindings/router_component_type.o
	@echo "  link     $@"
	$(Q)$(LINK) $(WASM_LDFLAGS) $^ -o $@

.PHONY: test clean
test: build/test/run
	@./build/test/run

clean:
	rm -rf build

# Looks for the compiler only if a goal needs it: `make test` and `make clean` do not.
ifneq ($(filter-out test clean,$(or $(MAKECMDGOALS),build/plugin.wasm)),)
FIND = WASI_SDK_PATH='$(WASI_SDK_PATH)' WASI_SYSROOT='$(WASI_SYSROOT)' sh $(SDK)/toolchain.sh
ifneq ($(IS_CPP),)
LINK := $(shell $(FIND) c++ '$(origin CXX)' '$(CXX)')
# Uses the C++ compiler for C too, since there may be no separate C compiler.
COMPILE_C = $(LINK) -x c
else
LINK := $(shell $(FIND) c '$(origin CC)' '$(CC)')
COMPILE_C = $(LINK)
endif
ifeq ($(LINK),)
$(error no compiler for WebAssembly)
endif
# Rebuilds the objects if the compiler has changed.
$(shell mkdir -p build/wasm; echo "$(LINK)" | cmp -s - build/wasm/compiler || \
	echo "$(LINK)" >build/wasm/compiler)
$(WASM_OBJECTS): build/wasm/compiler
endif

build/wasm/%.c.o: %.c $(MAKEFILE_LIST) | build/wasm
	@echo "  compile  $<"
	$(Q)$(COMPILE_C) $(CFLAGS) $(WASM_FLAGS) -c $< -o $@

build/wasm/%.cpp.o: %.cpp $(MAKEFILE_LIST) | build/wasm
	@echo "  compile  $<"
	$(Q)$(LINK) $(CXXFLAGS) $(WASM_CXXFLAGS) -c $< -o $@

build/test/run: $(TEST_OBJECTS)
	@echo "  link     $@"
	$(Q)$(if $(IS_CPP),$(HOST_CXX),$(HOST_CC)) $(SANITIZE) $^ -o $@

build/test/%.c.o: %.c $(MAKEFILE_LIST) | build/test
	@echo "  compile  $<"
	$(Q)$(HOST_CC) $(CFLAGS) $(TEST_FLAGS) -c $< -o $@

build/test/%.cpp.o: %.cpp $(MAKEFILE_LIST) | build/test
	@echo "  compile  $<"
	$(Q)$(HOST_CXX) $(CXXFLAGS) $(TEST_CXXFLAGS) -c $< -o $@

build/wasm build/test:
	@mkdir -p $@

-include $(WASM_OBJECTS:.o=.d) $(TEST_OBJECTS:.o=.d)
