# Two commands for a fresh clone: `make demo` makes a synthetic CT, `make test` runs every test.
# Needs Python 3.10 to 3.13, make and git; everything else goes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet install -c constraints.txt

.PHONY: demo test lint types fuzz parity pictures clean

demo: $(VENV)/.demo-ready
	rm -rf demo
	$(BIN)/text2ct generate -i docs/sample_report.txt -o demo --seed 7 --preset standard --dicom --picture
	$(BIN)/text2ct verify demo/ct.nii.gz demo/labels.seg.nrrd demo/dicom demo/organs.dcm demo/sheet.png demo/account.json
	@echo "Look at demo/sheet.png, or drag demo/ct.nii.gz and demo/labels.seg.nrrd into 3D Slicer."

# Two processes share the files; those of the module need a process of their own.
test: $(VENV)/.test-ready
	$(BIN)/python -m pytest -n 2 --dist loadfile
	$(BIN)/python -m pytest tests/slicer

lint: $(VENV)/.test-ready
	$(BIN)/ruff check .

types: $(VENV)/.test-ready
	$(BIN)/mypy

# 200,000 damaged files through every reader and 20,000 odd requests to a server; only sentences may come out.
fuzz: $(VENV)/.test-ready
	$(BIN)/python tests/fuzz/fuzz_volumes.py --cases 110000 --seed 1
	$(BIN)/python tests/fuzz/fuzz_dicom.py --cases 20000 --seed 1
	$(BIN)/python tests/fuzz/fuzz_checkpoints.py --cases 70000 --seed 1
	$(BIN)/python tests/service/fuzz_http.py --cases 20000 --seed 1

# Our numbers against those of a published program: make parity SYSTEM=text2ct CASE=<folder of a recorded case>
parity: $(VENV)/.test-ready
	$(BIN)/python tests/parity/run.py "$(SYSTEM)" "$(CASE)"

# The pictures of the documents. REAL names a folder with the real CT to draw into, if it is at hand.
pictures: $(VENV)/.test-ready demo
	cp demo/sheet.png docs/pictures/sheet.png
	$(BIN)/python docs/make_pictures.py $(if $(REAL),--real $(REAL))
	$(BIN)/python docs/make_pictures.py --mini
	$(BIN)/python docs/make_slicer_pictures.py

clean:
	rm -rf demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-ready: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[pictures,seg]'
	touch $@

$(VENV)/.test-ready: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.demo-ready
