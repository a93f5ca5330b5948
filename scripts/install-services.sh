#!/usr/bin/env bash
# Starts the services that `make test-all` uses, and installs what is missing, with what builds the workers in Go and Java (as
# root on Debian or Ubuntu).
#
# Running it again changes nothing. It never stops or reconfigures a service that answers already. Addresses that differ
# from the usual ones go to .services.env; an address that the environment names (NERVIO_TEST_POSTGRES_URL, ...) is
# taken as it is. With NERVIO_REQUIRE_SERVICES=1 it fails when something is still missing at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly ENV_FILE=.services.env
missing=()
updated=no

say() { printf '[services] %s\n' "$*"; }

is_root() { [ "$(id -u)" -eq 0 ]; }

can_install() { is_root && command -v apt-get >/dev/null; }

# Whether something listens on a port of this machine.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

wait_for() { # name port
  for _ in $(seq 60); do
    answers "$2" && return 0
    sleep 0.5
  done
  say "$1 does not answer on port $2 after 30 s"
  return 1
}

install_package() { # command package...
  command -v "$1" >/dev/null && return 0
  can_install || return 1
  export DEBIAN_FRONTEND=noninteractive
  if [ "$updated" = no ]; then
    say "apt-get update"
    apt-get -qq update
    updated=yes
  fi
  say "installing ${*:2}"
  apt-get -qq install --yes --no-install-recommends "${@:2}" >/dev/null
}

# Runs `install_package` and a start command when a port does not answer yet.
provide() { # name port command package start...
  local name=$1 port=$2 command=$3 package=$4
  shift 4
  if ! answers "$port"; then
    if ! PATH="$PATH:/usr/sbin" install_package "$command" "$package"; then
      missing+=("$name (package $package, port $port)")
      return 0
    fi
    # The package may have started it by itself.
    if ! answers "$port"; then
      if ! is_root; then
        missing+=("$name (installed, not running on port $port)")
        return 0
      fi
      say "starting $name"
      "$@" >/dev/null
    fi
    if ! wait_for "$name" "$port"; then
      missing+=("$name (did not start)")
      return 0
    fi
  fi
  say "$name answers on port $port"
}

start_postgres() {
  local version cluster
  if ! pg_lsclusters -h | grep -q .; then
    pg_createcluster "$(ls /usr/lib/postgresql | sort -V | tail -n 1)" main
  fi
  read -r version cluster _ < <(pg_lsclusters -h | awk '$3 == 5432' | head -n 1)
  pg_ctlcluster --skip-systemctl-redirect "$version" "$cluster" start
}

start_redis() { redis-server --daemonize yes --bind 127.0.0.1 --port 6379 --save "" --appendonly no; }

start_nats() {
  install -d /var/lib/nervio-test/nats
  start-stop-daemon --start --oknodo --background --exec "$(PATH="$PATH:/usr/sbin" command -v nats-server)" -- \
    -a 127.0.0.1 -p 4222 -js -sd /var/lib/nervio-test/nats
}

start_mosquitto() { PATH="$PATH:/usr/sbin" mosquitto -d; }

start_mariadb() {
  install -d -o mysql -g mysql /run/mysqld
  start-stop-daemon --start --oknodo --background --exec /usr/sbin/mariadbd -- --user=mysql
}

postgres_lets_in() { # url without the driver
  PGCONNECT_TIMEOUT=3 psql -w -X -Atqc 'SELECT 1' "$1" >/dev/null 2>&1
}

# Suites create and drop databases of their own, so they need a role that may.
postgres_url() {
  local default=postgresql://postgres@127.0.0.1:5432/postgres saved password
  if postgres_lets_in "$default"; then
    echo "$default"
    return
  fi
  saved=$(sed -n 's/^NERVIO_TEST_POSTGRES_URL=postgresql+asyncpg:/postgresql:/p' "$ENV_FILE" 2>/dev/null || true)
  if [ -n "$saved" ] && postgres_lets_in "$saved"; then
    echo "$saved"
    return
  fi
  is_root || return 1
  password=$(head -c 24 /dev/urandom | base64 | tr -dc 'a-zA-Z0-9')
  runuser -u postgres -- psql -X -q -p 5432 -d postgres -v ON_ERROR_STOP=1 >&2 <<SQL
SELECT 'CREATE ROLE nervio_test' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nervio_test') \gexec
ALTER ROLE nervio_test WITH LOGIN SUPERUSER PASSWORD '$password';
SQL
  echo "postgresql://nervio_test:$password@127.0.0.1:5432/postgres"
}

write_env() {
  local url
  umask 077
  if [ -n "${NERVIO_TEST_POSTGRES_URL:-}" ]; then
    url=$NERVIO_TEST_POSTGRES_URL
  elif answers 5432 && url=$(postgres_url); then
    url=postgresql+asyncpg:${url#postgresql:}
  else
    answers 5432 && missing+=("PostgreSQL (a role that lets tests in: set NERVIO_TEST_POSTGRES_URL)")
    rm -f "$ENV_FILE"
    return 0
  fi
  printf 'NERVIO_TEST_POSTGRES_URL=%s\n' "$url" >"$ENV_FILE.new"
  mv "$ENV_FILE.new" "$ENV_FILE"
}

[ -n "${NERVIO_TEST_POSTGRES_URL:-}" ] || provide PostgreSQL 5432 pg_ctlcluster postgresql start_postgres
[ -n "${NERVIO_TEST_REDIS_URL:-}" ] || provide Redis 6379 redis-server redis-server start_redis
[ -n "${NERVIO_TEST_NATS_URL:-}" ] || provide NATS 4222 nats-server nats-server start_nats
[ -n "${NERVIO_TEST_MQTT_URL:-}" ] || provide Mosquitto 1883 mosquitto mosquitto start_mosquitto
[ -n "${NERVIO_TEST_MARIADB_URL:-}" ] || provide MariaDB 3306 mariadbd mariadb-server start_mariadb

if [ -z "${NERVIO_CHROMIUM:-}" ] && ! command -v chromium chromium-browser google-chrome >/dev/null; then
  install_package chromium chromium || missing+=("Chromium (package chromium)")
fi

# What builds the workers in Go and Java (tests/other_workers.py). Asked for by package: few of them bring a command.
install_builders() { # name package...
  local package absent=()
  command -v dpkg-query >/dev/null || return 1
  for package in "${@:2}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || absent+=("$package")
  done
  [ ${#absent[@]} -eq 0 ] || install_package '' "${absent[@]}"
}

readonly PROTOC=(make protobuf-compiler)
install_builders Go "${PROTOC[@]}" golang-go protoc-gen-go protoc-gen-go-grpc golang-google-grpc-dev \
  golang-google-protobuf-dev golang-github-eclipse-paho.mqtt.golang-dev ||
  missing+=("Go for workers/go (packages of its Makefile)")
install_builders Java "${PROTOC[@]}" default-jdk-headless protobuf-compiler-grpc-java-plugin libgrpc-java libprotobuf-java \
  libnetty-java libnetty-tcnative-java libperfmark-java libguava-java libgoogle-gson-java libgeronimo-annotation-1.3-spec-java ||
  missing+=("Java for workers/java (packages of its Makefile)")

write_env

if [ ${#missing[@]} -gt 0 ]; then
  say "missing here; tests that need them are skipped:"
  printf '  - %s\n' "${missing[@]}"
  is_root || say "on Debian or Ubuntu: sudo scripts/install-services.sh"
  [ "${NERVIO_REQUIRE_SERVICES:-0}" != 1 ] || exit 1
fi
