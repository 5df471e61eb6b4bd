"""docs/install.md on a machine of its own."""

import page


def without_upgrades(machine, block):
    """The packages are there already; newer ones would need the network."""
    return machine.shell(block.text.replace(
        "apt-get install ", "apt-get install --no-upgrade ", 1))


def in_parallel(machine, block):
    return machine.shell(block.text.replace("\nmake\n", "\nmake -j2\n"))


def test_install(new_machine):
    machine = new_machine()
    install = page.Page("install.md")
    install.run(machine, around={"^apt-get install": without_upgrades,
                                 "configure --prefix": in_parallel})
    assert install.left() == []
    said = machine.shell("/usr/local/postern/sbin/posternctl ping")
    assert said == "posternd is running\n"
