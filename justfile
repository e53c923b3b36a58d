# Short names for the scripts in ci/. Nothing here does more than they do: without just, call them.

# Lists what there is.
default:
    @just --list --unsorted

# Starts a node: SQLite, port 12345 unless another is given.
serve *arguments:
    cargo run --release --bin chat-server -- {{arguments}}

# Lets 400 users chat on an embedded cluster, and accounts for every message.
load *arguments:
    cargo run --release -p loadgen -- {{arguments}}

# Formats the code.
format:
    cargo fmt --all

# Format, clippy, documentation, and the rules that the compiler does not know.
lint:
    ci/lint

# All tests, without the stories that need containers.
quick:
    ci/test --quick

# Everything that must pass before a commit lands on main.
test:
    ci/test

# Measures the server in release builds, in about six minutes; --quick shows only that the benches run.
bench *arguments:
    ci/bench {{arguments}}

# Counts instructions, allocations and statements of each operation, and compares them with those that are stored.
counts *arguments:
    ci/counts {{arguments}}

# Loads clusters with 10,000 users and more, in about half an hour.
scale *arguments:
    ci/scale {{arguments}}

# Takes the picture of the report that README shows.
picture *arguments:
    ci/picture {{arguments}}

# Lives through so many fresh seeds in the simulator.
sim *arguments="2000":
    ci/sim {{arguments}}

# Clusters in containers, faults and stories: just harness --help
harness *arguments:
    cargo run -p harness -- {{arguments}}
