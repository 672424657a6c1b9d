# shellcheck shell=bash
# shellcheck disable=SC2154  # from tests/lib/common.sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The machine that the virtual host is: a q35 with an Intel IOMMU under software emulation, and
# devices whose groups cover the cases that the tests are about. Guest addresses are fixed where a
# test names them; guest/lib.sh finds the rest by what they are.
#
#   rp1  pcie-pci-bridge br1 with two e1000: one group with the bridge; slots 3.. of br1 are free
#   rp2  an e1000e, alone in its group
#   rp3  an nvme of two functions without ACS: one group
#   rp4  another e1000e: the NIC that tests give an address
#   rp5  an nvme with SR-IOV
#   rp6, rp7  free root ports, for hot-plug
#   edu  a device that no driver knows
#   virtio-blk with the root file system, virtio-serial with the ports of the test harness

# Its IOMMU is another one where a script asks for that: `# machine: NAME` (see machine_iommu).

# machine_iommu NAME: the IOMMU of that machine, as the argument of -device. The guest has it on its
# command line (vmtest.iommu=), to hold what vfiod makes of it against it.
machine_iommu() {
	case $1 in
	intel) echo "intel-iommu,intremap=on,caching-mode=on,aw-bits=39" ;;
	wide) echo "intel-iommu,intremap=on,caching-mode=off,aw-bits=48,device-iotlb=on,snoop-control=on" ;;
	# QEMU has PASIDs in scalable mode alone, and no device TLB with them
	pasid) echo "intel-iommu,intremap=on,caching-mode=on,aw-bits=48,x-scalable-mode=on,x-pasid-mode=on" ;;
	amd) echo "amd-iommu,intremap=on,device-iotlb=on" ;;
	virtio) echo "virtio-iommu-pci,addr=6,boot-bypass=off,packed=on" ;;
	*) die "no machine has the name $1" ;;
	esac
}

# machine_args MACHINE IMAGE DIR: prints the arguments of QEMU, one per line. DIR holds the run's
# sockets and scratch disks.
machine_args() {
	local iommu image=$2 dir=$3 i
	iommu=$(machine_iommu "$1")
	local args=(-name vhost -machine "q35,kernel-irqchip=split" -accel "tcg,thread=multi" -cpu max -smp 2 -m 2G
		-nodefaults -no-user-config -display none -no-reboot
		-serial "file:$dir/console.log"
		-device "$iommu"
		-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
		-drive "if=none,id=root,file=$image,format=raw,snapshot=on"
		-device "virtio-blk-pci,drive=root,addr=2"
		-object "rng-builtin,id=rng" -device "virtio-rng-pci,rng=rng,addr=4"
		-device "edu,addr=5"
		-device "virtio-serial-pci,id=vs,addr=3"
		-chardev "file,id=out,path=/proc/self/fd/1" -device "virtserialport,chardev=out,name=org.vfiod.out"
		-chardev "socket,id=vqmp,path=$dir/guest.sock,server=on,wait=off"
		-device "virtserialport,chardev=vqmp,name=org.vfiod.qmp"
		-chardev "socket,id=qmp,path=$dir/qmp.sock,server=on,wait=off" -mon "chardev=qmp,mode=control")
	for i in 1 2 3 4 5 6 7; do
		args+=(-device "pcie-root-port,id=rp$i,chassis=$i,addr=$(printf %x $((i + 7))).0")
	done
	for i in 1 2 3 4; do
		args+=(-netdev "user,id=net$i,restrict=on")
	done
	for i in 1 2 3; do
		truncate -s 64M "$dir/nvme$i.img"
		args+=(-drive "if=none,id=nv$i,file=$dir/nvme$i.img,format=raw")
	done
	args+=(-device "pcie-pci-bridge,id=br1,bus=rp1"
		-device "e1000,bus=br1,addr=1,netdev=net1,mac=52:54:00:00:01:01,romfile="
		-device "e1000,bus=br1,addr=2,netdev=net2,mac=52:54:00:00:01:02,romfile="
		-device "e1000e,id=nic2,bus=rp2,netdev=net3,mac=52:54:00:00:02:01,romfile="
		-device "nvme,bus=rp3,addr=0.0,multifunction=on,serial=two0,drive=nv1"
		-device "nvme,bus=rp3,addr=0.1,serial=two1,drive=nv2"
		-device "e1000e,bus=rp4,netdev=net4,mac=52:54:00:00:04:01,romfile="
		-device "nvme-subsys,id=sub0"
		-device "nvme,bus=rp5,serial=pf0,subsys=sub0,sriov_max_vfs=4,sriov_vq_flexible=8,sriov_vi_flexible=4")
	printf '%s\n' "${args[@]}"
}

# machine_boot MACHINE KERNEL IMAGE DIR CMDLINE…: runs the machine to its end, with the harness's output
# on stdout. Whoever calls bounds the time.
machine_boot() {
	local machine=$1 kernel=$2 image=$3 dir=$4 args boot
	shift 4
	mapfile -t args < <(machine_args "$machine" "$image" "$dir")
	if [ "$(kernel_field "$kernel" 4)" = image ]; then
		boot=(-kernel "$image.vmlinuz" -initrd "$image.initrd")
	else
		boot=(-kernel "$(kernel_path "$kernel")")
	fi
	machine_bridge_qmp "$dir" &
	# no_timer_check: on a busy build machine the emulated timer is late, and the kernel would panic.
	exec qemu-system-x86_64 "${args[@]}" "${boot[@]}" \
		-append "console=ttyS0 root=/dev/vda rw intel_iommu=on mitigations=off no_timer_check net.ifnames=0 panic=-1 loglevel=4 systemd.show_status=auto vmtest.iommu=$(machine_iommu "$machine") $*" \
		</dev/null
}

# Gives the machine's own monitor to the guest, so that a test inside can hot-plug.
machine_bridge_qmp() {
	local dir=$1 i
	for ((i = 0; i < 100; i++)); do
		[ ! -S "$dir/qmp.sock" ] || [ ! -S "$dir/guest.sock" ] || break
		sleep 0.1
	done
	exec socat "UNIX-CONNECT:$dir/qmp.sock" "UNIX-CONNECT:$dir/guest.sock" </dev/null >/dev/null 2>&1
}
