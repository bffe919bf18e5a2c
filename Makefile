# The words of this project. `make run` and `make test` do everything from a plain clone.
.PHONY: build run test demo bench fmt tidy clean deps
PRESET ?= release

build: deps
	cmake --preset $(PRESET) >/dev/null && cmake --build --preset $(PRESET)
