"""The pod of the chart, run by podman as kubelet would: Asterisk starts before the engine, and ends after it.

podman knows neither native sidecars nor probes nor a mount of a part of an emptyDir. So the rendered pod is taken
apart: every volume becomes a folder, containers are started one by one, and the tests ask the probes' questions.
Images, commands, environment, users, capabilities and read-only roots stay as they are rendered.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from rendering import NAME, Object, containers, only, workload

PODMAN = ("podman", "--storage-driver", os.environ.get("STORAGE_DRIVER", "overlay"))
# As in a container, or where the limits of the machine may not be raised: podman's own defaults need more.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


Secrets = Mapping[str, Mapping[str, str]]
"""Those that are in the namespace: by name, what is in each."""


class PodError(RuntimeError):
    """A container did not do what it should; the text has its log."""


class Pod:
    """One pod of a rendered chart. Make it with `pod`."""

    def __init__(self, found: list[Object], folder: Path, secrets: Secrets | None = None) -> None:
        self.folder = folder
        self._secrets = secrets or {}
        self.spec: Object = workload(found)["spec"]["template"]["spec"]
        self.name = f"{NAME}-0"
        self.port: int = self._container("engine")["ports"][0]["containerPort"]
        self._prefix = f"hookflash-{uuid.uuid4().hex[:8]}"
        self._env = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}
        (folder / "containers.conf").write_text(CONTAINERS_CONF)
        self._started: list[str] = []
        for volume in [*self.spec["volumes"], {"name": "data"}]:
            self._make(volume, found)

    def _container(self, name: str) -> Object:
        return next(each for each in containers({"spec": self.spec}) if each["name"] == name)

    def _make(self, volume: Object, found: list[Object]) -> None:
        """A folder in the place of a volume, for the pod's user."""
        place = self.volume(volume["name"])
        place.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            self.publish(volume["name"], only(found, "ConfigMap", volume["configMap"]["name"])["data"])
        elif "secret" in volume:
            self.publish(volume["name"], self._secrets[volume["secret"]["secretName"]])
        else:
            self._give(place)

    def _give(self, place: Path) -> None:
        os.chown(place, self.spec["securityContext"]["runAsUser"], self.spec["securityContext"]["fsGroup"])

    def publish(self, name: str, files: Mapping[str, str]) -> None:
        """Write the files of a ConfigMap or Secret as kubelet does: a new folder, and one link that is swapped."""
        place = self.volume(name)
        new = place / f"..{uuid.uuid4().hex[:8]}"
        new.mkdir()
        for file, text in files.items():
            (new / file).write_text(text)
            self._give(new / file)
            if not (place / file).is_symlink():
                (place / file).symlink_to(Path("..data") / file)
        (place / "..data_tmp").symlink_to(new.name)
        (place / "..data_tmp").rename(place / "..data")

    def volume(self, name: str) -> Path:
        """The folder that stands for a volume."""
        return self.folder / "volumes" / name

    def options(self, name: str) -> list[str]:
        """podman's options for what the manifest says of a container."""
        container, security = self._container(name), self.spec["securityContext"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        options = ["--network", "host", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL"]
        options += ["--security-opt", "no-new-privileges", "--no-healthcheck"]
        options += ["--user", f"{security['runAsUser']}:{security['runAsGroup']}"]
        for variable, value in self._environment(container).items():
            options += ["--env", f"{variable}={value}"]
        for mount in container["volumeMounts"]:
            place = self.volume(mount["name"]) / mount.get("subPath", "")
            if not place.exists():
                place.mkdir()
                self._give(place)
            options += ["--volume", f"{place}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}"]
        return options

    def command(self, name: str) -> list[str]:
        """Its image and the words behind it, with `$(VARIABLES)` filled in."""
        container = self._container(name)
        words = [container["image"], *container.get("command", []), *container.get("args", [])]
        for variable, value in self._environment(container).items():
            words = [word.replace(f"$({variable})", value) for word in words]
        return words

    def _environment(self, container: Object) -> dict[str, str]:
        fields = {"metadata.name": self.name, "status.hostIP": "127.0.0.1"}
        return {
            each["name"]: fields[each["valueFrom"]["fieldRef"]["fieldPath"]] if "valueFrom" in each else each["value"]
            for each in container.get("env", [])
        }

    async def podman(self, *words: str, within: float = 60.0, check: bool = True) -> str:
        """Run podman; what it printed. Raises `PodError`."""
        process = await asyncio.create_subprocess_exec(
            *PODMAN, *words, env=self._env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(within):
                printed, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise PodError(f"podman {' '.join(words)} did not end within {within:g} s") from None
        text = printed.decode(errors="replace")
        if check and process.returncode:
            raise PodError(f"podman {' '.join(words)} ended with {process.returncode}:\n{text}")
        return text

    async def once(self, name: str, *words: str) -> str:
        """Run a container to its end, with other words than the manifest's where some are given."""
        image, *own = self.command(name)
        return await self.podman("run", "--rm", *self.options(name), image, *(words or own))

    async def start(self, name: str) -> None:
        """Start a container."""
        self._started.append(name)
        await self.podman("run", "--detach", "--name", self.called(name), *self.options(name), *self.command(name))

    def called(self, name: str) -> str:
        """The name that podman knows a container by."""
        return f"{self._prefix}-{name}"

    async def probed(self, name: str, probe: str, within: float = 60.0) -> None:
        """Ask a probe's question until it is answered well, as kubelet does before it goes on."""
        question = self._container(name)[probe]
        last = ""
        try:
            async with asyncio.timeout(within):
                while True:
                    good, last = await self._asked(name, question)
                    if good:
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise PodError(f"{name}: {probe} after {within:g} s: {last}\n{await self.logs(name)}") from None

    async def _asked(self, name: str, question: Object) -> tuple[bool, str]:
        if "exec" in question:
            try:
                return True, await self.podman("exec", self.called(name), *question["exec"]["command"])
            except PodError as error:
                return False, str(error)
        status, body = await self.page(question["httpGet"]["path"])
        return status == 200, body

    async def page(self, path: str) -> tuple[int, str]:
        """(status, body) of one of the engine's pages; (0, why) when it does not listen."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
            writer.close()
            return int(head.split(" ")[1]), body
        except (OSError, IndexError) as error:
            return 0, str(error)

    async def stop(self, name: str) -> int:
        """Ask a container to end, with the pod's grace period, as kubelet does; its exit status."""
        grace = str(self.spec["terminationGracePeriodSeconds"])
        await self.podman("stop", "--time", grace, self.called(name), within=180)
        told = json.loads(await self.podman("inspect", self.called(name)))
        status: int = told[0]["State"]["ExitCode"]
        return status

    async def logs(self, name: str) -> str:
        """What a container printed."""
        return await self.podman("logs", self.called(name), check=False)

    async def remove(self) -> None:
        """Remove every container that was started."""
        for name in reversed(self._started):
            await self.podman("rm", "--force", "--time", "0", self.called(name), check=False)


@asynccontextmanager
async def pod(found: list[Object], folder: Path, secrets: Secrets | None = None) -> AsyncIterator[Pod]:
    """The pod of this chart, started as kubelet does; at the end it is removed."""
    if os.geteuid() != 0:
        raise PodError("podman needs root here, or rather its volumes do: sudo make pod")
    for tool in ("podman", "runc"):
        if shutil.which(tool) is None:
            raise PodError(f"no {tool}: apt-get install podman runc netavark")
    running = Pod(found, folder, secrets)
    for container in containers({"spec": running.spec}):
        image = container["image"]
        if not (await running.podman("images", "--quiet", image)).strip():
            raise PodError(f"no image {image}: make images")
    try:
        for container in running.spec.get("initContainers", []):
            if container.get("restartPolicy") == "Always":
                await running.start(container["name"])
                await running.probed(container["name"], "startupProbe")
            else:
                await running.once(container["name"])
        await running.start("engine")
        await running.probed("engine", "startupProbe")
        await running.probed("engine", "readinessProbe")
        yield running
    except BaseException as error:
        for name in running._started:
            error.add_note(f"── log of {name}\n{await running.logs(name)}")
        raise
    finally:
        await running.remove()
