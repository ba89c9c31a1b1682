"""A stub of IBM's service on this machine, to try the whole way to hardware without an account.

python -m tests.stub --port 8765 --device ibm_kingston=nairobi --queue 5 --fault post-502-created
"""

from __future__ import annotations

import argparse
import time

from tests.stub.faults import FAULTS
from tests.stub.server import StubServer
from tests.stub.service import Service


def main() -> None:
    """Serve until Ctrl-C."""
    faults = "; ".join(f"{name}: {what}" for name, what in FAULTS.items())
    parser = argparse.ArgumentParser(prog="python -m tests.stub", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8765, help="port of 127.0.0.1")
    parser.add_argument(
        "--device",
        action="append",
        metavar="NAME=SNAPSHOT",
        help="a device and the snapshot (5 to 27 qubits) that plays it; may be repeated "
        "[default: ibm_kingston=nairobi]",
    )
    parser.add_argument("--queue", type=float, default=0.0, metavar="SECONDS", help="time a job waits")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[:TIMES]",
        help=f"let something go wrong: {faults}",
    )
    options = parser.parse_args()
    devices = dict(entry.split("=", 1) for entry in options.device or ["ibm_kingston=nairobi"])
    service = Service(devices, queue_s=options.queue)
    for entry in options.fault:
        name, _, times = entry.partition(":")
        service.faults.order(name, int(times or 1))
    with StubServer(service, options.port) as server:
        for name, value in server.environment().items():
            print(f"export {name}='{value}'")
        print(f"# devices: {', '.join(devices)}; Ctrl-C ends the service", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print(f"# {service.n_jobs} jobs")


if __name__ == "__main__":
    main()
