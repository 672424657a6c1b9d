/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.vfiod1.Device */

#include "daemon/bus/bus.h"
#include "daemon/bus/call.h"
#include "daemon/bus/device-error.h"
#include "daemon/bus/object.h"
#include "daemon/bus/reset.h"
#include "daemon/bus/sriov.h"
#include "daemon/lease/inspect.h"

#define DEFINE_STRING_PROPERTY(function, member)                                            \
	static int function(struct manager *manager, const void *object, sd_bus_message *m) \
	{                                                                                   \
		const struct device *device = object;                                       \
		return append_string(m, device->member);                                    \
	}

/* An id that is not known is announced as 0, which no vendor has. */
#define DEFINE_ID_PROPERTY(function, member)                                                \
	static int function(struct manager *manager, const void *object, sd_bus_message *m) \
	{                                                                                   \
		const struct device *device = object;                                       \
		uint32_t id = device->member == ID_UNKNOWN ? 0 : device->member;            \
		return sd_bus_message_append(m, "q", (uint16_t)id);                         \
	}

DEFINE_STRING_PROPERTY(append_name, name)
DEFINE_STRING_PROPERTY(append_subsystem, subsystem)
DEFINE_STRING_PROPERTY(append_driver, driver)
DEFINE_STRING_PROPERTY(append_model, model)
DEFINE_ID_PROPERTY(append_vendor, vendor)
DEFINE_ID_PROPERTY(append_product, product)
DEFINE_ID_PROPERTY(append_subvendor, subvendor)
DEFINE_ID_PROPERTY(append_subproduct, subproduct)

static int append_group(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return append_path_group(m, device->group_id);
}

static int append_iommu(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return append_path_iommu(m, device->iommu_name);
}

static int append_state(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;
	enum device_state state = ledger_device_state(&manager->ledger, device->name);

	return append_string(m, device_state_to_string(state));
}

static int append_saved_driver(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;
	const struct lease *lease = ledger_device(&manager->ledger, device->name);
	const struct lease_device *d = lease ? lease_device(lease, device->name) : NULL;

	return append_string(m, d && !d->left ? d->saved_driver : NULL);
}

static int append_class(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return sd_bus_message_append(m, "u",
				     device->class_code == ID_UNKNOWN ? 0 : device->class_code);
}

static int append_numa_node(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return sd_bus_message_append(m, "i", device->numa_node);
}

static int append_vfio_node(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;
	_cleanup_free_ char *path = NULL;

	if (!device->vfio_node)
		return append_string(m, NULL);
	if (asprintf(&path, "/dev/vfio/devices/%s", device->vfio_node) < 0)
		return -ENOMEM;
	return append_string(m, path);
}

static int append_reset_methods(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return sd_bus_message_append_strv(m, device->reset_methods);
}

static int append_physical_function(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return append_path_device(manager, m, device->physical_function);
}

static int append_virtual_functions(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;
	int r;

	r = sd_bus_message_open_container(m, 'a', "o");
	STRV_FOREACH (name, device->virtual_functions)
		if (r >= 0)
			r = append_path_device(manager, m, *name);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_num_vfs(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return sd_bus_message_append(m, "u", (uint32_t)strv_length(device->virtual_functions));
}

static int append_total_vfs(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return sd_bus_message_append(m, "u", (uint32_t)device->total_vfs);
}

/* Each kind once, in the order of enum use_kind. */
static int append_kinds(sd_bus_message *m, const struct use_list *uses)
{
	unsigned int kinds = 0;
	int r;

	for (size_t i = 0; i < uses->n; i++)
		kinds |= 1U << uses->items[i].kind;
	r = sd_bus_message_open_container(m, 'a', "s");
	for (int kind = 0; r >= 0 && kind < USE_MAX; kind++)
		if (kinds & (1U << kind))
			r = sd_bus_message_append(m, "s", use_kind_to_string((enum use_kind)kind));
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_uses(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return append_kinds(m, &device->uses);
}

/* ---- what broke */

static int append_health(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return append_string(m, health_to_string(device->health));
}

static int append_counters(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return append_error_counters(m, &device->errors);
}

static int append_eeh_state(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *device = object;

	return append_string(m, device->has_eeh ? eeh_state_to_string(device->eeh) : NULL);
}

/*
 * An error that was corrected has no uevent: who asks for this device is told what it is now. Who
 * asks for everything is told what it was when the device was last read.
 */
static int get_counters(sd_bus *bus, const char *path, const char *interface, const char *property,
			sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	sd_bus_message *m = sd_bus_get_current_message(bus);
	struct manager *manager = userdata;
	const struct device *device = device_class.find(manager, path);
	int r = 0;

	if (device && m &&
	    (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get") ||
	     sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "GetAll")))
		r = scan_read_errors(&manager->scanner, device->name);
	if (r < 0)
		return r;
	if (r == TOPOLOGY_CHANGED)
		bus_announce_device(manager->bus, device->name, false);
	return object_get(bus, path, interface, property, reply, userdata, error);
}

/* ---- GetUses: looks anew; the texts name mounts and addresses, and are for root */

static void free_inspection(void *data)
{
	inspection_free(data);
}

static int append_texts(sd_bus_message *m, const struct use_list *uses)
{
	int r = sd_bus_message_open_container(m, 'a', "s");

	for (size_t i = 0; r >= 0 && i < uses->n; i++)
		r = append_string(m, uses->items[i].text);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static void on_inspected(struct inspection *inspection, int r, struct inspected *items, size_t n,
			 void *userdata)
{
	struct call *call = userdata;
	sd_bus_message *reply = NULL;

	if (r >= 0 && items[0].error)
		r = -items[0].error;
	if (r >= 0)
		r = call_new_reply(call, &reply);
	if (r >= 0)
		r = call->creds->uid == 0 ? append_texts(reply, &items[0].uses)
					  : append_kinds(reply, &items[0].uses);
	if (r >= 0) {
		call_reply(call, reply);
		return;
	}
	sd_bus_message_unref(reply);
	call_errno(call, r, "looking at the device");
}

static void get_uses(struct call *call)
{
	struct manager *manager = call->manager;
	const struct device *device =
		device_class.find(manager, sd_bus_message_get_path(call->message));
	struct inspection *inspection = NULL;
	char *names[] = { NULL, NULL };
	int r;

	if (!device) {
		call_error(call, "NoSuchDevice", "the device is gone; list the devices anew");
		return;
	}
	if (!call_go_slow(call))
		return;
	names[0] = device->name;
	r = inspect_start(manager->event, &manager->host, &manager->topology, names, false,
			  on_inspected, call, &inspection);
	if (r < 0) {
		call_errno(call, r, "looking at the device");
		return;
	}
	call->data = inspection;
	call->data_free = free_inspection;
}

static int method_get_uses(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, get_uses, error);
}

static int append_parent(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct device *parent = topology_parent(&manager->topology, object);

	return append_path_device(manager, m, parent ? parent->name : NULL);
}

static const struct property properties[] = {
	{ "Name", append_name },
	{ "Subsystem", append_subsystem },
	{ "Group", append_group },
	{ "Iommu", append_iommu },
	{ "State", append_state },
	{ "Driver", append_driver },
	{ "SavedDriver", append_saved_driver },
	{ "Vendor", append_vendor },
	{ "Product", append_product },
	{ "SubsystemVendor", append_subvendor },
	{ "SubsystemProduct", append_subproduct },
	{ "Class", append_class },
	{ "Model", append_model },
	{ "NumaNode", append_numa_node },
	{ "VfioNode", append_vfio_node },
	{ "ResetMethods", append_reset_methods },
	{ "PhysicalFunction", append_physical_function },
	{ "VirtualFunctions", append_virtual_functions },
	{ "Uses", append_uses },
	{ "NumVfs", append_num_vfs },
	{ "TotalVfs", append_total_vfs },
	{ "Parent", append_parent },
	{ "Health", append_health },
	{ "ErrorCounters", append_counters },
	{ "EehState", append_eeh_state },
	{ NULL, NULL },
};

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("GetResetDomain", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(oo)", devices),
				method_get_reset_domain, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetResetDomains", SD_BUS_NO_ARGS,
				SD_BUS_RESULT("a{sa(oo)}", domains), method_get_reset_domains,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetUses", SD_BUS_NO_ARGS, SD_BUS_RESULT("as", uses),
				method_get_uses, SD_BUS_VTABLE_UNPRIVILEGED),
	PROPERTY("Name", "s", PROPERTY_CONST),
	PROPERTY("Subsystem", "s", PROPERTY_CONST),
	PROPERTY("Group", "o", PROPERTY_CHANGES),
	PROPERTY("Iommu", "o", PROPERTY_CHANGES),
	PROPERTY("State", "s", PROPERTY_CHANGES),
	PROPERTY("Driver", "s", PROPERTY_CHANGES),
	PROPERTY("SavedDriver", "s", PROPERTY_CHANGES),
	PROPERTY("Vendor", "q", PROPERTY_CONST),
	PROPERTY("Product", "q", PROPERTY_CONST),
	PROPERTY("SubsystemVendor", "q", PROPERTY_CONST),
	PROPERTY("SubsystemProduct", "q", PROPERTY_CONST),
	PROPERTY("Class", "u", PROPERTY_CONST),
	PROPERTY("Model", "s", PROPERTY_CHANGES),
	PROPERTY("NumaNode", "i", PROPERTY_CHANGES),
	PROPERTY("VfioNode", "s", PROPERTY_CHANGES),
	PROPERTY("ResetMethods", "as", PROPERTY_CHANGES),
	PROPERTY("PhysicalFunction", "o", PROPERTY_CHANGES),
	PROPERTY("VirtualFunctions", "ao", PROPERTY_CHANGES),
	PROPERTY("Uses", "as", PROPERTY_CHANGES),
	PROPERTY("Parent", "o", PROPERTY_CHANGES),
	SD_BUS_METHOD_WITH_ARGS("ClearError", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_clear_error,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("SetNumVfs", SD_BUS_ARGS("u", n), SD_BUS_NO_RESULT,
				method_set_num_vfs, SD_BUS_VTABLE_UNPRIVILEGED),
	PROPERTY("NumVfs", "u", PROPERTY_CHANGES),
	PROPERTY("TotalVfs", "u", PROPERTY_CHANGES),
	PROPERTY("Health", "s", PROPERTY_CHANGES),
	SD_BUS_PROPERTY("ErrorCounters", "a{sa{st}}", get_counters, 0, PROPERTY_CHANGES),
	PROPERTY("EehState", "s", PROPERTY_CHANGES),
	SD_BUS_VTABLE_END,
};

static const void *find(struct manager *manager, const char *path)
{
	_cleanup_free_ char *name = NULL;
	const struct device *device;
	bool pci = false;

	if (path_device_decode(path, &name, &pci) != 0)
		return NULL;
	device = topology_device(&manager->topology, name);
	/* What is on the PCI bus under a name that is no address has a path as others have. */
	return device && (streq(device->subsystem, "pci") && pci_address_valid(name)) == pci
		       ? device
		       : NULL;
}

static int enumerate(struct manager *manager, char ***paths)
{
	HASH_FOREACH (device, manager->topology.devices) {
		_cleanup_free_ char *path = NULL;

		if (path_device(device->subsystem, device->name, &path) >= 0 &&
		    strv_extend(paths, path) < 0)
			return -ENOMEM;
	}
	return 0;
}

const struct object_class device_class = {
	.interface = "org.vfiod1.Device",
	.prefix = VFIOD_PATH_DEVICE,
	.vtable = vtable,
	.properties = properties,
	.find = find,
	.enumerate = enumerate,
};
