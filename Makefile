# The words of this project. `make run` and `make test` do everything from a plain clone on Debian 12.
.PHONY: build run test demo bench bench-compare soak fmt tidy clean deps

# What the machine lacks is installed first: Debian packages (tools/packages.txt), then the pinned npm packages.
deps:
	@tools/install_packages.sh
	@tools/fetch_engine.sh

build: deps
	@cmake --preset release >/dev/null
	@cmake --build --preset release

run: build
	@tools/run.sh

test: deps
	@tools/test.sh

demo: build
	@build/release/kalam-demo

bench: build
	@cmake --build --preset release --target kalamdb-server-smallest
	@build/release/kalam-bench; measured=$$?; build/release/kalam-bench compare --json build/benchmarks.json --html build/bench.html && exit $$measured

# Another server beside this build: make bench-compare URL=http://host:port [DB_USER=root] [DB_PASSWORD=...]
bench-compare: build
	@build/release/kalam-bench compare $(if $(URL),--url $(URL)) $(if $(DB_USER),--user $(DB_USER)) --password "$(DB_PASSWORD)"

# The chat of a thousand users for MINUTES (30), watching whether memory grows.
soak: build
	@build/release/kalam-bench soak --minutes $(or $(MINUTES),30)

fmt: deps
	@git ls-files '*.h' '*.cpp' | xargs clang-format-16 -i

tidy: deps
	@python3 tools/tidy_test.py
	@cmake --preset dev >/dev/null
	@git ls-files 'src/*.cpp' 'cli/*.cpp' 'bench/*.cpp' | xargs -P 2 -n 4 clang-tidy-16 -p build/dev --quiet

clean:
	@rm -rf build
