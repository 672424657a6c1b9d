/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The VF switch: while a physical function or one of its VFs is leased, sriov_drivers_autoprobe of
 * that function is 0, and the kernel gives no driver to VFs that are made meanwhile. Several leases
 * may share a function: each has it in its journal, the first to come switches it off, and the last
 * to go gives it back. The writes are steps of the worker of claim and release.
 */

#include "daemon/lease/run.h"

/*
 * Before the lease is journaled: which of its devices have a switch that was on. Reads attributes
 * that take no lock. 0 or -errno.
 */
int vf_switch_note(const struct engine *engine, struct lease *lease);
/* Whether a claim has to wait: another lease is giving a switch back that this one needs off. */
bool vf_switch_is_moving(const struct engine *engine, const struct lease *lease);
/* Marks (vf_back) what plan_restore() is to give back: the switches that no other lease needs. */
void vf_switch_may_go_back(const struct engine *engine, struct lease *lease);
/* The worker has done that for the function (NULL: for all, or it has died): claims may go on. */
void vf_switch_is_back(struct lease_run *run, const char *function);
