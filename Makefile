# The commands of the README. Each sets up what it needs in .venv; a fresh machine needs only
# Python 3.11 (as python3, or PYTHON=...) and the package registries.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := test,lint,docs
# Four processes, also on two cores, as most tests wait most of the time; each has its own servers. A file's tests stay
# together, and the files begin in the order of tests/conftest.py. PARALLEL= for one.
PARALLEL ?= -n 4 --dist loadfile --no-loadscope-reorder
# Images of containers often set this. Each of some hundred processes would then compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test pytest test-oldest lint docs bench faults soak fuzz pictures clean

ABOUT.demo := A whole beamline on this machine, from scans at a Door to rows in the scan log: about 40 s
ABOUT.test := All tests and checks, with real servers on this machine: about 8 minutes on two cores that are free
# The first line, before anything is installed.
$(foreach goal,$(or $(MAKECMDGOALS),demo),$(if $(ABOUT.$(goal)),\
	$(info $(ABOUT.$(goal))$(if $(wildcard $(READY)),., and once about a minute to install into $(VENV).))))

demo: $(READY)
	$(BIN)/python -m deploy.demo $(if $(KEEP),--keep)

# The checks of the code compute while the first tests wait.
test: $(READY)
	@$(MAKE) --no-print-directory -j2 $(if $(ARGS),,lint) pytest

pytest: $(READY)
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation with the API, in build/docs/docs/index.html. A warning, as of a link that leads nowhere, is an error.
# LINKS=1 also asks the addresses of others.
docs: $(READY)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q -b html -c docs . build/docs
	$(if $(LINKS),$(BIN)/python -m sphinx -q -b linkcheck -c docs . build/links)

bench: $(READY)
	$(BIN)/python -m tests.benchmarks $(ARGS)

# Scans and datasets while everything goes wrong; `make soak` has a short form and a long one.
faults: $(READY)
	$(BIN)/python -m tests.faults $(ARGS)

# The tests that wait long, and those with generated examples with more of them; SciCow with 20,000 messages while
# everything goes wrong, killed at each of its steps, with a backlog, and for a week of a facility; SciCat killed ten times
# during writes; the same as `faults` with 1,000 of them.
soak: $(READY)
	$(BIN)/python -m pytest $(PARALLEL) -m "long or hypothesis" --hypothesis-profile thorough
	$(BIN)/python -m tests.soak $(SOAK)
	$(BIN)/python -m tests.soak.step_kills
	$(BIN)/python -m tests.soak.backlog
	$(BIN)/python -m tests.soak --week
	$(BIN)/python -m tests.soak.catalogue_kills
	$(BIN)/python -m tests.faults --faults 1000 --datasets 20000 --gap 1 $(ARGS)

# Whatever may come out of Kafka into SciCow: 100,000 messages.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(ARGS)

# The same tests with the oldest versions that setup.cfg promises.
test-oldest:
	$(PYTHON) -m venv build/oldest
	$(call install,build/oldest/bin/python,--editable '.[test]' -c tests/oldest.txt)
	build/oldest/bin/python -m pytest $(PARALLEL) $(ARGS)

pictures: $(READY)
	$(BIN)/python -m tests.ui.pictures.scanlog
	$(BIN)/python -m tests.ui.pictures.scidog
	$(BIN)/python -m tests.ui.pictures.scidog_editor
	$(BIN)/python -m tests.ui.pictures.scicow
	$(BIN)/python -m tests.ui.pictures.scifly
	$(BIN)/python -m tests.ui.pictures.scidog_properties

$(READY): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) --version`. Say PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(call install,$(BIN)/python,--editable '.[$(EXTRAS)]')
	@touch $@

# By uv, which is fast, if it is here or its package can be had at once; else, or if it fails, by pip. Both show what they do.
define install
@uv=`command -v uv` || { $(1) -m pip install --quiet --timeout 5 --retries 1 --disable-pip-version-check uv \
	&& uv=`dirname $(1)`/uv; } 2>/dev/null; \
if [ -n "$$uv" ] && echo "Installing by uv" && "$$uv" pip install --python $(1) $(2); then :; \
else echo "Installing by pip" && $(1) -m pip install --disable-pip-version-check $(2); fi
endef

clean:
	rm -rf $(VENV) build demo
