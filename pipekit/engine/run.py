"""Runs a plan: stored results are reused, the rest is computed, and each artifact appears complete or not at all."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NoReturn

from pipekit import __version__, processes
from pipekit.contract import Artifact, Dataset, InputPath, RunInfo, StageInfo
from pipekit.engine import run_folder
from pipekit.engine.basis import basis_of
from pipekit.engine.contact_sheets import DrawSheet
from pipekit.engine.context import StageContext, call_stage, carried, check_share
from pipekit.engine.datasets import open_dataset
from pipekit.engine.forecast import Forecast
from pipekit.engine.healing import MAX_HEALED, check_inputs, move_aside
from pipekit.engine.key_changes import describe_changes, new_format
from pipekit.engine.keys import key_of
from pipekit.engine.observers import observe, with_observers
from pipekit.engine.outcome import Listener, Outcome, StageOutcome, advice_of, headline_of
from pipekit.engine.resume import finished_stage
from pipekit.engine.run_context import RunContext
from pipekit.engine.run_place import check_place, check_writable
from pipekit.engine.sources import check_sources
from pipekit.engine.worker import STOP, reason_of
from pipekit.errors import DamagedError, PipekitError, ReadingsError, StageError, UserError, of_the_machine
from pipekit.owners import new_owner
from pipekit.pipeline.accepted import add_accepted
from pipekit.pipeline.plan import Plan, PlannedStage
from pipekit.pipeline.planned_tasks import refuse_unfit
from pipekit.registry.component import import_target
from pipekit.store.durability import Syncing
from pipekit.store.leases import lease
from pipekit.store.locations import Locations
from pipekit.store.store import Store
from pipekit.store.upgrade import replace_old
from pipekit.store.verify import recover
from pipekit.store.wholeness import guard

KEPT = "Finished shards are kept."
CONTINUE = "Finished shards are kept; run the same command again to continue."
"""Only for what may pass, such as a full disk: any other failure would come again."""


def silent(event: str, **values: Any) -> None:
    """A listener that ignores every event."""


def run_plan(
    plan: Plan,
    listener: Listener = silent,
    *,
    until: str | None = None,
    only: str | None = None,
    again: Collection[str] = (),
    publish: bool = True,
    draw: DrawSheet | None = None,
) -> Outcome:
    """Run a plan.

    Args:
        until: stop after this stage; stages that it does not need are left out.
        only: run only this stage; its inputs must be in the store.
        again: discard the earlier results of these stages.
        publish: put the results under ``runs/<name>/``.
        draw: draws contact sheets of datasets that are too large to show as folders.

    Raises:
        StageError: a stage failed; finished work is kept.
        UserError: the selection of stages is not valid.
    """
    with closing(Store(plan.store_root)) as store, lease(store.root):
        return _Run(plan, listener, store, draw).run(until, only, again, publish)


def forecast(plan: Plan, until: str | None = None, again: Collection[str] = ()) -> list[Forecast]:
    """What :func:`run_plan` would do, and why. Nothing is run or written."""
    with closing(Store(plan.store_root, read_only=True)) as store:
        return _Run(plan, silent, store).forecast(until, again)


@dataclass
class _Run:
    plan: Plan
    listener: Listener
    store: Store
    draw: DrawSheet | None = None
    showing_s: float = 0.0
    done: dict[str, StageOutcome] = field(default_factory=dict)
    told_new_keys: bool = False
    publishes: bool = False

    def __post_init__(self) -> None:
        self.listener = with_observers(self.plan.registry, self.listener, self._info)
        self.locations = Locations(self.store.root, self.plan.base_dir)
        self.run_context = RunContext(self.plan, self.store, self.locations, self.listener, self._variant)
        self.run_dir = self.plan.base_dir / "runs" / self.plan.name
        self.syncing = Syncing(self.store.root, self.run_dir, new_owner())
        self.store.on_damage = lambda message: self.listener("warning", stage="", message=message)

    @cached_property
    def before(self) -> dict[str, Any]:
        """For each stage: the parts of its key in its last run."""
        return run_folder.latest_parts(self.store, self.plan)

    # --- the run ---

    def run(self, until: str | None, only: str | None, again: Collection[str], publish: bool) -> Outcome:
        plan, started = self.plan, time.perf_counter()
        began = datetime.now(UTC)
        chosen = self._chosen(until, only)
        for name in again:
            plan.stage(name)
        self.publishes = publish and not only
        if self.publishes:
            check_place(self.run_dir)
        STOP.clear()
        guard.take_noted()
        self.store.clean()
        processes.remove_leftovers()
        recover(self.store, lambda done, total: self._progress("checking after an unclean shutdown", done, total))
        self.syncing.begin_for_the_dead()
        old = replace_old(self.store)
        add_accepted(self.store.root, plan.registry.accepted)
        processes.preload(module for stage in plan.stages if stage.name in chosen for module in stage.component.preload)
        names = [stage.name for stage in plan.stages if stage.name in chosen]
        self.listener("run_started", name=plan.name, file=str(plan.file or ""), stages=names)
        if old is not None:
            self.told_new_keys = True
            self.listener("warning", stage="", message=str(old))
        status = "failed"
        try:
            self._stages(chosen, only, again)
            status = "finished"
        except KeyboardInterrupt:
            STOP.set()
            status = "interrupted"
            raise
        finally:
            self.store.recent.clear()  # no further stage asks for it
            headline = headline_of(self.done.values())
            record = run_folder.record(
                plan,
                status,
                began,
                time.perf_counter() - started,
                [found.described for found in self.done.values()],
                headline,
                {"pipekit": __version__},
            )
            try:
                self._keep(record, chosen)
            finally:
                self.syncing.end()
            self._observe("after_run", run=self._info(status))
        seconds = time.perf_counter() - started
        self.listener(
            "run_finished",
            status=status,
            run_dir=str(self.run_dir),
            seconds=seconds,
            showing_s=self.showing_s,
            headline=headline,
            advice=advice_of(self.done.values()),
        )
        stages, sources = tuple(self.done.values()), dict(self.store.hashes.states)
        return Outcome(
            plan.name,
            status,
            self.run_dir,
            stages,
            seconds,
            headline,
            plan.file,
            lambda path, since_ns: basis_of(plan, self.store, sources, stages, self.run_dir, path, since_ns),
        )

    def _keep(self, record: dict[str, Any], chosen: Collection[str]) -> None:
        """Keep the record of a run, and publish its results if it has finished."""
        if record["status"] != "finished":
            with contextlib.suppress(PipekitError):  # the error that ended the run matters more
                run_folder.remember(self.store, record)
            return
        ran = any(not found.cached for found in self.done.values())
        if ran or not run_folder.is_listed(self.store, record):
            run_folder.remember(self.store, record)
        if self.publishes and (ran or not run_folder.shows(self.run_dir, record)):
            self.syncing.begin()
            started = time.perf_counter()
            for note in self._publish(record, chosen):
                self.listener("warning", stage="", message=note)
            self.showing_s = time.perf_counter() - started

    def _stages(self, chosen: Collection[str], only: str | None, again: Collection[str]) -> None:
        """Run the chosen stages. Damaged results are moved aside, and recomputed by starting over."""
        for attempt in range(MAX_HEALED + 1):
            try:
                for stage in self.plan.stages:
                    if stage.name in chosen:
                        self._stage(stage, only, stage.name in again and not attempt)
                        refuse_unfit(self.plan, {name: found.artifact for name, found in self.done.items()}, stage.name)
                return
            except DamagedError as error:
                self._start_over(error, attempt)

    def _publish(self, record: dict[str, Any], chosen: Collection[str]) -> tuple[str, ...]:
        """Show the results under ``runs/``. A result that turns out to be damaged is recomputed first."""
        attempt = 0
        while True:
            made = [(f.name, f.use, f.artifact) for f in self.done.values()]
            try:
                return run_folder.publish(
                    self.store, self.run_dir, record, made, self.plan, self.locations, self.draw, self.listener
                )
            except DamagedError as error:
                self._start_over(error, attempt)
                self._stages(chosen, None, ())
                attempt += 1

    def _start_over(self, error: DamagedError, attempt: int) -> None:
        if attempt == MAX_HEALED:
            raise error
        guard.take_noted()
        move_aside(self.plan, self.store, error)
        self.done.clear()
        self.locations.moved.clear()

    def _progress(self, label: str, done: int, total: int) -> None:
        self.listener("progress", stage="", label=label, done=done, total=total, unit="parts")

    def _chosen(self, until: str | None, only: str | None) -> set[str]:
        if until and only:
            raise UserError("--until and --only can't be combined")
        if only:
            return self.plan.upstream(only)
        return self.plan.upstream(until) if until else {stage.name for stage in self.plan.stages}

    # --- one stage ---

    def _inputs(self, stage: PlannedStage) -> dict[str, Any]:
        """The artifacts for the stage's slots."""
        found: dict[str, Any] = {}
        for slot in stage.contract.slots:
            made = tuple(self._artifact(name) for name in stage.inputs.get(slot.name, ()))
            if slot.many:
                found[slot.name] = made
            elif made:
                found[slot.name] = made[0]
            elif not slot.required:
                found[slot.name] = None
        return found

    def _artifact(self, name: str) -> Artifact:
        given = self.plan.given.get(name)
        return given if given is not None else self.done[name].artifact

    def _stage(self, stage: PlannedStage, only: str | None, again: bool) -> None:
        inputs = self._inputs(stage)
        self.run_context.watch_hashing(stage)
        parts = self.run_context.keys.of_stage(stage, inputs)
        key = key_of(parts)
        info = StageInfo(stage.name, stage.use, key, stage.params.model_dump(mode="json"))
        manifest = finished_stage(self.store, key, again)
        if manifest is not None:
            try:
                outcome = self._take(stage, key, parts, manifest, cached=True)
            except DamagedError:
                raise
            except PipekitError as error:  # more failures than max_failed allows now
                self._failed(stage, info, error)
            for warning in outcome.warnings:
                self.listener("warning", stage=stage.name, message=warning)
            self.listener("stage_cached", stage=stage.name, use=stage.use, facts=outcome.facts)
        elif only and stage.name != only:
            raise UserError(
                f"--only {only} needs stage {stage.name!r}, which is not in the store", f"Run it first: --until {stage.name}"
            )
        else:
            if self.publishes:
                check_writable(self.run_dir)
            self._tell_new_keys(stage, parts)
            self._observe("before_stage", run=self._info("running"), stage=info)
            self.listener("stage_started", stage=stage.name, use=stage.use)
            try:
                outcome = replace(self._make(stage, key, parts, inputs, again), why=self._why(stage, parts, again))
            except DamagedError:
                raise
            except (Exception, SystemExit) as error:
                if damage := guard.take_noted():  # the cause, which a stage has reported in its own words
                    raise damage from error
                self._failed(stage, info, error)
            self.syncing.soon()
            self.listener(
                "stage_finished", stage=stage.name, use=stage.use, seconds=outcome.seconds, cached=False, facts=outcome.facts
            )
        self.done[stage.name] = outcome
        self._observe(
            "after_stage",
            run=self._info("running"),
            stage=StageInfo(stage.name, stage.use, outcome.key, info.params, outcome.cached, outcome.seconds),
            artifact=outcome.artifact,
        )

    def _variant(self, stage: PlannedStage, inputs: dict[str, Any], again: bool) -> StageOutcome:
        """A running stage with other parameters, see ``ctx.variant``; it is stored as if it had been a stage of a run."""
        parts = self.run_context.keys.of_stage(stage, inputs)
        key = key_of(parts)
        manifest = finished_stage(self.store, key, again)
        if manifest is not None:
            return self._take(stage, key, parts, manifest, cached=True)
        return self._make(stage, key, parts, inputs, again)

    def _why(self, stage: PlannedStage, parts: Mapping[str, Any], again: bool) -> str:
        """Why a stage runs."""
        files = {one.source_digest: one.plugin for one in self.plan.registry}
        return "asked for with --again" if again else describe_changes(self.before.get(stage.name), parts, files)

    def _tell_new_keys(self, stage: PlannedStage, parts: Mapping[str, Any]) -> None:
        """Report once why finished work is recomputed, if another version of pipekit made it."""
        reason = new_format(self.before.get(stage.name), parts)
        if reason and not self.told_new_keys:
            self.told_new_keys = True
            self.listener("warning", stage=stage.name, message=reason)

    def _failed(self, stage: PlannedStage, info: StageInfo, error: BaseException) -> NoReturn:
        self._observe("on_stage_error", run=self._info("failed"), stage=info, error=error)
        if isinstance(error, PipekitError):
            message, hint, kept = error.message, error.hint, KEPT
        elif known := of_the_machine(error):
            message, hint, kept = known.message, known.hint, CONTINUE
        else:
            message, hint = reason_of(error), "For the traceback, add --debug."
            kept = CONTINUE if isinstance(error, OSError) else KEPT
        self.listener("stage_failed", stage=stage.name, use=stage.use, message=message, hint=hint)
        if isinstance(error, ReadingsError):  # the command line asks which one is meant
            error.where = error.where or f"in stage {stage.name!r}"
            raise error
        if isinstance(error, UserError):
            raise UserError(message, hint, error.where or f"in stage {stage.name!r}") from error
        raise StageError(f"stage {stage.name!r} failed: {message}", f"{hint}\n  {kept}".strip()) from error

    def _make(self, stage: PlannedStage, key: str, parts: dict[str, Any], inputs: dict[str, Any], again: bool) -> StageOutcome:
        """Run a stage and put its output into the store."""
        self.syncing.begin()
        started, begun = time.perf_counter(), self.store.work_dir(key)
        with self.store.scratch() as folder, self.run_context.handed.to_one_stage():
            ctx = StageContext(self.run_context, stage, key, inputs, folder, again, parts, self.before.get(stage.name))
            done = False
            try:
                check_inputs(inputs)
                try:
                    made = call_stage(stage, ctx, inputs)
                except Exception:
                    ctx.check_found()  # damage may be what the stage has stumbled over
                    raise
                if not any(made is found for found in ctx.made):
                    raise StageError(
                        f"{stage.use} of plugin {stage.component.plugin!r} must return the result of ctx.dataset() or "
                        f"ctx.artifact(), not {type(made).__name__}"
                    )
                if damage := guard.take_noted():  # even if a stage swallowed it: no result made from it may stay
                    raise damage
                if not isinstance(made, Dataset):  # images of datasets are compared when workers read them
                    check_sources(inputs, self.run_context.began_ns, self.locations, self.run_context.handed)
                ctx.check_failures()
                if stage.contract.fingerprint is not None:
                    # A stage may change the outside state that it reads (split adds lines to its file). Its key has the state
                    # that it left. If somebody restores the state from before, the stage runs again.
                    parts = self.run_context.keys.of_stage(stage, inputs)
                    key = key_of(parts)
                manifest = {
                    "key": key,
                    "use": stage.use,
                    "class": f"{type(made).__module__}:{type(made).__qualname__}",
                    "digest": made.digest,
                    "meta": dict(made.meta),
                    "parts": parts,
                    "roots": self._roots(stage),
                    "shards": sorted(ctx.shards),
                    "uses": ctx.uses,
                    "notes": sorted(ctx.mapper.notes),
                    "num_attempted": ctx.num_attempted,
                    "num_failed": len(ctx.failures),
                    "warnings": ctx.warnings,
                    "seconds": round(time.perf_counter() - started, 3),
                    "made": datetime.now(UTC).isoformat(timespec="seconds"),
                }
                (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
                done = True
            finally:
                ctx.close(done)
            ctx.tell_failures()
            self.store.commit(folder, self.store.artifact_dir(key))
        with contextlib.suppress(OSError):
            begun.rmdir()  # not empty: another process is at the same stage
        found = self.store.manifest(key)
        if found is None:
            raise StageError(
                f"the result of {stage.name!r} is gone from {self.store.root}", "Is another program cleaning that folder?"
            )
        return self._take(stage, key, parts, found, cached=False, seconds=time.perf_counter() - started)

    def _take(
        self,
        stage: PlannedStage,
        key: str,
        parts: dict[str, Any],
        manifest: Mapping[str, Any],
        cached: bool,
        seconds: float = 0.0,
    ) -> StageOutcome:
        """Take a finished stage run from the store."""
        folder = self.store.artifact_dir(key)
        kind = import_target(manifest["class"])
        for name, root in manifest["roots"].items():
            old, now = self.locations.unpack(root), str(getattr(stage.params, name, ""))
            if now and old != now:
                self.locations.moved[old] = now
        artifact: Artifact
        if issubclass(kind, Dataset):
            # The cached result may come from the same images with other files beside them.
            meta = carried(manifest["meta"], self._inputs(stage))
            whose, handed = (self.plan.name, stage.name), self.run_context.handed
            artifact = open_dataset(kind, folder, manifest["digest"], meta, self.locations, self.store, handed, whose)
            if cached and manifest["num_failed"]:
                examples = list(itertools.islice(artifact.failed(), 50))
                check_share(self.plan, stage, manifest["num_failed"], manifest["num_attempted"], examples)
        else:
            artifact = kind(folder, manifest["digest"], manifest["meta"])
        params = stage.params.model_dump(mode="json")
        return StageOutcome(
            stage.name,
            stage.use,
            key,
            cached,
            seconds,
            artifact,
            parts,
            params,
            stage.inputs,
            tuple(manifest["warnings"]),
            manifest["num_failed"],
        )

    def _roots(self, stage: PlannedStage) -> dict[str, str]:
        """The paths that the stage read, so that the same content is found after it has moved."""
        values = {name: getattr(stage.params, name) for name in type(stage.params).model_fields}
        return {name: self.locations.pack(str(value)) for name, value in values.items() if isinstance(value, InputPath)}

    # --- observers ---

    def _info(self, status: str) -> RunInfo:
        plan = self.plan
        return RunInfo(plan.name, str(plan.file or ""), plan.seed, self.run_dir, status, plan.combination_of)

    def _observe(self, hook: str, **values: Any) -> None:
        observe(self.plan.registry, self.listener, hook, **values)

    # --- the forecast ---

    def forecast(self, until: str | None, again: Collection[str]) -> list[Forecast]:
        chosen = self._chosen(until, None)
        found: list[Forecast] = []
        for stage in self.plan.stages:
            if stage.name not in chosen:
                continue
            open_inputs = [
                name
                for names in stage.inputs.values()
                for name in names
                if name not in self.done and name not in self.plan.given
            ]
            begun = False
            if open_inputs:
                state, reason = "depends", f"on the result of {' and '.join(dict.fromkeys(open_inputs))}"
            else:
                parts = self.run_context.keys.of_stage(stage, self._inputs(stage))
                key = key_of(parts)
                manifest = finished_stage(self.store, key)
                if manifest is not None and stage.name not in again:
                    try:
                        self.done[stage.name] = self._take(stage, key, parts, manifest, cached=True)
                        state, reason = "cached", f"made {manifest['made'].replace('T', ' ').removesuffix('+00:00')} UTC"
                    except StageError as error:
                        state, reason = "fails", error.message.partition(":\n")[0]
                else:
                    state, begun = "run", self.store.is_begun(key) and stage.name not in again
                    reason = self._why(stage, parts, stage.name in again)
                    reason = "stopped before its end; it resumes" if begun else reason
            found.append(Forecast(stage.name, stage.use, state, reason, begun))
        return found
